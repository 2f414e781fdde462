//! Inodes: taken in the order they lie in, and written into the tables a group at a time.

use crate::ext4::format::Fs;
use crate::ext4::groups::{Bitmap, Volume, set_bits};
use crate::ext4::inode::{self, Inode};
use crate::ext4::space::find;
use crate::{Error, Result};

/// The free inodes of a file system, and the part of the table that is being filled.
#[derive(Debug)]
pub struct Table {
    group: u32,
    /// Of the group.
    bitmap: Vec<u8>,
    /// The start of the group's table, as far as it is in use.
    inodes: Vec<u8>,
    /// The first inode of the group that was not looked at.
    next: u32,
    taken_of_group: u32,
    directories: u32,
    taken: u32,
}

impl Table {
    /// Begins with what mke2fs made: that gets the time `now`.
    pub fn of(volume: &mut Volume<'_>, now: i64) -> Result<Self> {
        for group in 1..volume.fs.groups {
            let mut inodes = in_use(volume, group)?;
            if settle(&volume.fs, group, &mut inodes, now) {
                write(volume, group, &inodes)?;
            }
        }
        let mut inodes = in_use(volume, 0)?;
        settle(&volume.fs, 0, &mut inodes, now);
        Ok(Self {
            group: 0,
            bitmap: volume.bitmap(Bitmap::Inodes, 0)?,
            inodes,
            next: volume.fs.first_inode() - 1,
            taken_of_group: 0,
            directories: 0,
            taken: 0,
        })
    }

    /// The inode `number`, which mke2fs made.
    pub fn made(&self, fs: &Fs, number: u32) -> Option<&[u8]> {
        let (0, place) = fs.place_of(number) else {
            return None;
        };
        let at = place as usize * fs.inode_size;
        self.inodes.get(at..at + fs.inode_size)
    }

    /// Takes the next free inode.
    pub fn take(&mut self, volume: &mut Volume<'_>, is_directory: bool) -> Result<u32> {
        loop {
            let end = volume.fs.inodes_per_group;
            let free = find(&self.bitmap, false, u64::from(self.next), u64::from(end));
            if free < u64::from(end) {
                set_bits(&mut self.bitmap, free..free + 1);
                self.next = free as u32 + 1;
                self.taken_of_group += 1;
                self.taken += 1;
                self.directories += u32::from(is_directory);
                return Ok(self.group * end + self.next);
            }
            if self.group + 1 == volume.fs.groups {
                return Err(Error::unsuitable(
                    "the file system has too few inodes for the tree: make it larger",
                ));
            }
            self.leave(volume)?;
            self.group += 1;
            self.next = 0;
            self.bitmap = volume.bitmap(Bitmap::Inodes, self.group)?;
            self.inodes = in_use(volume, self.group)?;
        }
    }

    /// Puts an inode that was taken in its place.
    pub fn put(&mut self, volume: &Volume<'_>, number: u32, inode: &Inode) -> Result<()> {
        let fs = &volume.fs;
        let bytes = inode.encode(fs, number);
        let (group, place) = fs.place_of(number);
        let at = place as usize * fs.inode_size;
        if group == self.group {
            if self.inodes.len() < at + fs.inode_size {
                self.inodes.resize(at + fs.inode_size, 0);
            }
            self.inodes[at..at + fs.inode_size].copy_from_slice(&bytes);
            return Ok(());
        }
        let table = fs.block_at(volume.groups[group as usize].inode_table());
        volume.image.write(&bytes, table + at as u64)
    }

    /// Writes what is left to be written, and says how many inodes were taken.
    pub fn finish(mut self, volume: &mut Volume<'_>) -> Result<u32> {
        self.leave(volume)?;
        Ok(self.taken)
    }

    fn leave(&mut self, volume: &mut Volume<'_>) -> Result<()> {
        // the last one may be put later
        let used = self.inodes.len().max(self.next as usize * volume.fs.inode_size);
        self.inodes.resize(used, 0);
        write(volume, self.group, &self.inodes)?;
        if self.taken_of_group > 0 {
            volume.write_bitmap(Bitmap::Inodes, self.group, &self.bitmap, self.taken_of_group)?;
            let used = (used / volume.fs.inode_size) as u32;
            let descriptor = &mut volume.groups[self.group as usize];
            descriptor.set_inodes_in_use(&volume.fs, used, self.directories);
            self.taken_of_group = 0;
            self.directories = 0;
        }
        Ok(())
    }
}

/// The inodes of a group that may be in use.
fn in_use(volume: &Volume<'_>, group: u32) -> Result<Vec<u8>> {
    let descriptor = &volume.groups[group as usize];
    let count = descriptor.inodes_in_use(&volume.fs) as usize;
    let mut inodes = vec![0; count * volume.fs.inode_size];
    if count > 0 {
        let table = volume.fs.block_at(descriptor.inode_table());
        volume.image.read(&mut inodes, table)?;
    }
    Ok(inodes)
}

fn write(volume: &Volume<'_>, group: u32, inodes: &[u8]) -> Result<()> {
    let table = volume.fs.block_at(volume.groups[group as usize].inode_table());
    volume.image.write(inodes, table)
}

/// Gives the inodes of mke2fs the time; whether there are any.
fn settle(fs: &Fs, group: u32, inodes: &mut [u8], now: i64) -> bool {
    let mut has_any = false;
    for (index, inode) in inodes.chunks_exact_mut(fs.inode_size).enumerate() {
        if inode.iter().any(|byte| *byte != 0) {
            has_any = true;
            inode::set_times(inode, now);
            inode::set_checksum(fs, group * fs.inodes_per_group + index as u32 + 1, inode);
        }
    }
    has_any
}
