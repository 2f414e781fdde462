//! Makes the inodes of a fresh ext4 file system say nothing of when and where it was made.
//!
//! `mke2fs -d` (1.47.0) copies access and change time from the source, which move with every reading and building,
//! and takes its own idea of the root directory's owner and mode. Here each inode's access, change and creation time
//! become its modification time, without nanoseconds and not later than the epoch; then its checksum is made anew.
//! Field offsets are those of the kernel's `Documentation/filesystems/ext4`.

use crate::ext4_format::{Fs, put_u16, put_u32, u16_at, u32_at};
use crate::{Result, SparseFile, crc32c};

/// What an inode had before its extra part.
const GOOD_OLD_SIZE: usize = 128;
const FIRST_OF_USERS: u32 = 11;
const ROOT: u32 = 2;

/// The times to set.
#[derive(Debug, Clone)]
pub struct Times {
    /// Seconds, of the file system itself.
    pub now: i64,
    /// No file is later than this.
    pub clamp: Option<i64>,
    /// What the root directory is to be.
    pub root: Option<Root>,
}

/// The root directory's metadata, which mke2fs does not copy.
#[derive(Debug, Clone)]
pub struct Root {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
}

impl From<&tree::Stat> for Root {
    fn from(stat: &tree::Stat) -> Self {
        Self {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime.0,
        }
    }
}

/// Sets the times of all inodes of the file system that begins at `offset` of `image`.
pub fn set(image: &SparseFile, offset: u64, times: &Times) -> Result<()> {
    let fs = Fs::read(image, offset)?;
    for group in 0..fs.groups {
        let descriptor = fs.descriptor(image, 0, group)?;
        let used = descriptor.used_inodes(&fs);
        if used == 0 {
            continue;
        }
        let table = fs.block_at(descriptor.inode_table());
        let mut inodes = vec![0; used as usize * fs.inode_size];
        image.read(&mut inodes, table)?;
        for (index, inode) in inodes.chunks_exact_mut(fs.inode_size).enumerate() {
            let number = group * fs.inodes_per_group + index as u32 + 1;
            if inode.iter().any(|byte| *byte != 0) {
                fs.set_inode(number, inode, times);
            }
        }
        image.write(&inodes, table)?;
    }
    Ok(())
}

impl Fs {
    fn set_inode(&self, number: u32, inode: &mut [u8], times: &Times) {
        let has = |inode: &[u8], at: usize| at + 4 <= GOOD_OLD_SIZE + usize::from(u16_at(inode, 0x80));
        let extra = if has(inode, 0x88) {
            u32_at(inode, 0x88) & 3
        } else {
            0
        };
        let mut mtime = i64::from(u32_at(inode, 0x10) as i32) + (i64::from(extra) << 32);
        if number < FIRST_OF_USERS {
            mtime = times.now;
        }
        if let (ROOT, Some(root)) = (number, &times.root) {
            mtime = root.mtime;
            let kind = u16_at(inode, 0) & 0xf000;
            put_u16(inode, 0, kind | root.mode as u16);
            put_u16(inode, 0x2, root.uid as u16);
            put_u16(inode, 0x78, (root.uid >> 16) as u16);
            put_u16(inode, 0x18, root.gid as u16);
            put_u16(inode, 0x7a, (root.gid >> 16) as u16);
        }
        if let Some(latest) = times.clamp {
            mtime = mtime.min(latest);
        }
        // the extra field adds two bits above the signed 32; the other 30 are nanoseconds
        let high = ((mtime - i64::from(mtime as i32)) >> 32) as u32 & 3;
        for at in [0x8, 0xc, 0x10] {
            put_u32(inode, at, mtime as u32);
        }
        for (at, value) in [
            (0x84, high),
            (0x88, high),
            (0x8c, high),
            (0x90, mtime as u32),
            (0x94, high),
        ] {
            if has(inode, at) {
                put_u32(inode, at, value);
            }
        }
        self.set_checksum(number, inode);
    }

    fn set_checksum(&self, number: u32, inode: &mut [u8]) {
        // an inode whose extra part is not in use has half a checksum
        let whole = u16_at(inode, 0x80) >= 4;
        put_u16(inode, 0x7c, 0);
        if whole {
            put_u16(inode, 0x82, 0);
        }
        let mut crc = crc32c::update(self.checksum_seed, &number.to_le_bytes());
        crc = crc32c::update(crc, &inode[0x64..0x68]); // generation
        crc = crc32c::update(crc, inode);
        put_u16(inode, 0x7c, crc as u16);
        if whole {
            put_u16(inode, 0x82, (crc >> 16) as u16);
        }
    }
}
