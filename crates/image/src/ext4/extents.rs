//! Extents: which blocks a file has, as a list and as the tree that its inode begins.
//!
//! ```text
//! inode: header, 4 entries -> blocks of headers and entries -> … -> the extents themselves
//! header: magic, entries in use, entries there is room for, levels below (u16 each), generation (u32)
//! extent: logical block (u32), length (u16), physical block (16 bits above, u32)
//! index:  first logical block (u32), physical block of the next level (u32, 16 bits above), 2 bytes unused
//! ```

use crate::ext4::format::{put_u16, put_u32, u16_at, u32_at};
use crate::ext4::groups::Volume;
use crate::ext4::stream::Stream;
use crate::{Error, Result, crc32c};

const MAGIC: u16 = 0xf30a;
const ENTRY: usize = 12;
const IN_INODE: usize = 4;
/// Blocks in one extent; above it means "not written yet".
const LONGEST: u32 = 32_768;

/// A run of blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub logical: u32,
    pub physical: u64,
    pub length: u32,
}

/// The blocks of a file, ascending.
#[derive(Debug, Clone, Default)]
pub struct Extents {
    list: Vec<Extent>,
}

impl Extents {
    /// Adds the block `physical` as the `logical` one of the file: beyond all that are there.
    pub fn add(&mut self, logical: u32, physical: u64) {
        if let Some(last) = self.list.last_mut() {
            let length = last.length;
            let goes_on = last.logical + length == logical && last.physical + u64::from(length) == physical;
            if goes_on && length < LONGEST {
                last.length += 1;
                return;
            }
        }
        self.list.push(Extent {
            logical,
            physical,
            length: 1,
        });
    }

    /// The extents in the place of an inode that the tool made.
    pub fn of_place(place: &[u8]) -> Result<Self> {
        let entries = usize::from(u16_at(place, 2));
        if u16_at(place, 0) != MAGIC || u16_at(place, 6) != 0 || entries > IN_INODE {
            return Err(Error::unsuitable(
                "a directory of the fresh file system is not as expected",
            ));
        }
        let extent = |entry: &[u8]| Extent {
            logical: u32_at(entry, 0),
            physical: u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32,
            length: u32::from(u16_at(entry, 4)),
        };
        let list = place[ENTRY..].chunks_exact(ENTRY).take(entries).map(extent);
        Ok(Self { list: list.collect() })
    }

    /// Each block, with its number in the file.
    pub fn blocks(&self) -> impl Iterator<Item = (u32, u64)> {
        self.list.iter().flat_map(|extent| {
            (0..extent.length).map(|n| (extent.logical + n, extent.physical + u64::from(n)))
        })
    }

    /// How many blocks there are.
    pub fn count(&self) -> u64 {
        self.list.iter().map(|extent| u64::from(extent.length)).sum()
    }

    /// Writes the blocks of the tree that do not fit the inode; its place there, and how many blocks were written.
    pub fn place(
        &self,
        stream: &mut Stream,
        volume: &mut Volume<'_>,
        seed: Option<u32>,
    ) -> Result<([u8; 60], u64)> {
        let size = volume.fs.block_size;
        let in_block = (size - ENTRY) / ENTRY;
        // the first logical block and the entry itself
        let mut level: Vec<(u32, [u8; ENTRY])> = self.list.iter().map(Extent::entry).collect();
        let (mut depth, mut written) = (0, 0);
        while level.len() > IN_INODE {
            let mut above = Vec::with_capacity(level.len().div_ceil(in_block));
            for entries in level.chunks(in_block) {
                let mut block = vec![0; size];
                fill(&mut block, entries, in_block, depth);
                if let Some(seed) = seed {
                    let end = ENTRY + in_block * ENTRY;
                    let sum = crc32c::update(seed, &block[..end]);
                    put_u32(&mut block, end, sum);
                }
                let at = stream.push(volume, &block)?;
                written += 1;
                above.push((entries[0].0, index(entries[0].0, at)));
            }
            level = above;
            depth += 1;
        }
        let mut place = [0; 60];
        fill(&mut place, &level, IN_INODE, depth);
        Ok((place, written))
    }
}

impl Extent {
    fn entry(&self) -> (u32, [u8; ENTRY]) {
        let mut entry = [0; ENTRY];
        put_u32(&mut entry, 0, self.logical);
        put_u16(&mut entry, 4, self.length as u16);
        put_u16(&mut entry, 6, (self.physical >> 32) as u16);
        put_u32(&mut entry, 8, self.physical as u32);
        (self.logical, entry)
    }
}

fn index(logical: u32, physical: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put_u32(&mut entry, 0, logical);
    put_u32(&mut entry, 4, physical as u32);
    put_u16(&mut entry, 8, (physical >> 32) as u16);
    entry
}

fn fill(node: &mut [u8], entries: &[(u32, [u8; ENTRY])], most: usize, depth: u16) {
    put_u16(node, 0, MAGIC);
    put_u16(node, 2, entries.len() as u16);
    put_u16(node, 4, most as u16);
    put_u16(node, 6, depth);
    for (slot, (_, entry)) in node[ENTRY..].chunks_exact_mut(ENTRY).zip(entries) {
        slot.copy_from_slice(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_extent_until_it_is_full() {
        let mut extents = Extents::default();
        for n in 0..LONGEST + 2 {
            extents.add(n, 1000 + u64::from(n));
        }
        extents.add(LONGEST + 2, 5);
        extents.add(LONGEST + 9, 6);
        let lengths: Vec<_> = extents.list.iter().map(|extent| extent.length).collect();
        assert_eq!(lengths, [LONGEST, 2, 1, 1]);
        assert_eq!(extents.count(), u64::from(LONGEST) + 4);
        assert_eq!(extents.blocks().last(), Some((LONGEST + 9, 6)));
    }
}
