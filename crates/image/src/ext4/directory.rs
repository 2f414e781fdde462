//! Directories as lists of names, in blocks.
//!
//! ```text
//! entry: inode (u32), bytes to the next entry (u16), length of the name, type, name; in whole words
//! block: entries, the last reaching to the end or, with checksums, to an entry of 12 bytes without inode that has the
//!        block's
//! ```

use crate::crc32c;
use crate::ext4::format::{Fs, put_u16, put_u32, u16_at, u32_at};
use crate::ext4::index;

/// Bytes of an entry without its name.
const ENTRY: usize = 8;
/// Bytes of what stands for an entry and has the checksum.
const TAIL: usize = 12;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: Box<[u8]>,
    pub inode: u32,
    /// What it is: [`file_type`](crate::ext4::inode::file_type).
    pub file_type: u8,
}

/// What the blocks of a directory have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub size: usize,
    pub has_types: bool,
    /// What checksums begin with, where there are any.
    pub seed: Option<u32>,
}

/// A directory whose names are known.
#[derive(Debug)]
pub struct Directory {
    pub inode: u32,
    pub parent: u32,
    pub entries: Vec<Entry>,
}

impl Entry {
    /// Bytes that the entry takes.
    pub fn size(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4)
    }
}

impl Directory {
    /// Its blocks, in order, and whether they have an index. `least` blocks there are in any case; then none is made.
    pub fn blocks(&self, fs: &Fs, least: usize) -> (Vec<Vec<u8>>, bool) {
        let shape = Shape {
            size: fs.block_size,
            has_types: fs.has_file_types(),
            seed: fs.inode_seed(self.inode),
        };
        let mut entries = vec![dots(b".", self.inode), dots(b"..", self.parent)];
        entries.extend_from_slice(&self.entries);
        let mut leaves = shape.leaves(&entries);
        // one or two blocks are sooner read than looked up
        if leaves.len() > 2 && least == 0 && fs.has_dir_index() {
            let [dot, dot_dot] = [entries[0].clone(), entries[1].clone()];
            if let Some(blocks) = index::blocks(fs, shape, [dot, dot_dot], &self.entries) {
                return (blocks, true);
            }
        }
        while leaves.len() < least {
            leaves.push(shape.leaf(&[]));
        }
        (leaves, false)
    }
}

impl Shape {
    /// Bytes for entries in a block.
    pub fn room(self) -> usize {
        self.size - if self.seed.is_some() { TAIL } else { 0 }
    }

    /// A block with these entries, which fit it.
    pub fn leaf(self, entries: &[Entry]) -> Vec<u8> {
        let mut block = vec![0; self.size];
        let end = self.room();
        // a block without entries has one without an inode
        put_u16(&mut block, 4, end as u16);
        let mut at = 0;
        for (index, entry) in entries.iter().enumerate() {
            let length = match index + 1 == entries.len() {
                true => end - at,
                false => entry.size(),
            };
            self.put(&mut block[at..], entry, length);
            at += length;
        }
        if let Some(seed) = self.seed {
            put_u16(&mut block, end + 4, TAIL as u16);
            block[end + 7] = 0xde;
            let sum = crc32c::update(seed, &block[..end]);
            put_u32(&mut block, end + 8, sum);
        }
        block
    }

    /// Writes an entry that reaches `length` bytes far.
    pub fn put(self, block: &mut [u8], entry: &Entry, length: usize) {
        put_u32(block, 0, entry.inode);
        put_u16(block, 4, length as u16);
        block[6] = entry.name.len() as u8;
        block[7] = if self.has_types { entry.file_type } else { 0 };
        block[ENTRY..ENTRY + entry.name.len()].copy_from_slice(&entry.name);
    }

    /// As many entries in each block as fit.
    fn leaves(self, entries: &[Entry]) -> Vec<Vec<u8>> {
        self.fill(entries).map(|entries| self.leaf(entries)).collect()
    }

    /// The entries in runs that fit a block each.
    pub fn fill(self, entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
        let mut rest = entries;
        std::iter::from_fn(move || {
            let mut left = self.room();
            let fits = |entry: &&Entry| {
                let fits = entry.size() <= left;
                left -= if fits { entry.size() } else { 0 };
                fits
            };
            let count = rest.iter().take_while(fits).count();
            let (run, after) = rest.split_at(count);
            rest = after;
            (count > 0).then_some(run)
        })
    }
}

/// The inode of `name` in a block of a directory.
pub fn find(block: &[u8], name: &[u8]) -> Option<u32> {
    let mut at = 0;
    while at + ENTRY <= block.len() {
        let length = usize::from(u16_at(block, at + 4));
        let end = at + ENTRY + usize::from(block[at + 6]);
        if u32_at(block, at) != 0 && block.get(at + ENTRY..end) == Some(name) {
            return Some(u32_at(block, at));
        }
        if length < ENTRY {
            break;
        }
        at += length;
    }
    None
}

fn dots(name: &[u8], inode: u32) -> Entry {
    Entry {
        name: name.into(),
        inode,
        file_type: 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fill_blocks_and_are_found() {
        let entries: Vec<_> = (0..40u32)
            .map(|n| Entry {
                name: format!("{n:0100}").into_bytes().into(),
                inode: n + 11,
                file_type: 1,
            })
            .collect();
        let shape = Shape {
            size: 1024,
            has_types: true,
            seed: Some(7),
        };
        let blocks = shape.leaves(&entries);
        // 9 of 108 bytes each
        assert_eq!(blocks.len(), 5);
        assert_eq!(find(&blocks[4], &entries[39].name), Some(50));
        assert_eq!(find(&blocks[0], &entries[39].name), None);
    }
}
