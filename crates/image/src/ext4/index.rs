//! Large directories: their names by hash, with an index that leads to them.
//!
//! ```text
//! block 0: "." and "..", version of the hash, levels, room and count of the entries, entries, checksum
//! node:    an entry without inode, room and count, entries, checksum: the second level, where one is not enough
//! entry:   the lowest hash in a block (the first one's stands for room and count), the block's number in the directory
//! leaf:    a block of names
//! ```

use crate::crc32c;
use crate::ext4::directory::{Entry, Shape};
use crate::ext4::format::{Fs, put_u16, put_u32, u32_at};
use crate::ext4::name_hash::{self, Version};

const ROOT_AT: usize = 32;
const NODE_AT: usize = 8;
const TAIL: usize = 8;

/// The blocks of a directory with an index; `None` where the file system has a hash unknown here, or there are too many
/// names.
pub fn blocks(fs: &Fs, shape: Shape, dots: [Entry; 2], entries: &[Entry]) -> Option<Vec<Vec<u8>>> {
    let version = Version::of(fs)?;
    let seed: [u32; 4] = std::array::from_fn(|n| u32_at(&fs.superblock, 0xec + n * 4));
    let mut hashed: Vec<_> = entries
        .iter()
        .map(|entry| (name_hash::hash(version, seed, &entry.name), entry))
        .collect();
    hashed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let sorted: Vec<Entry> = hashed.iter().map(|(_, entry)| (*entry).clone()).collect();

    let mut leaves = Vec::new();
    let mut first = 0;
    for run in shape.fill(&sorted) {
        // a hash that began in the block before is marked by its lowest bit, which is free
        let hash = hashed[first].0.major;
        let goes_on = first > 0 && hashed[first - 1].0.major == hash;
        leaves.push((hash | u32::from(goes_on), shape.leaf(run)));
        first += run.len();
    }

    let limit = |at: usize| (shape.size - at - if shape.seed.is_some() { TAIL } else { 0 }) / 8;
    let (in_root, in_node) = (limit(ROOT_AT), limit(NODE_AT));
    let count = leaves.len();
    let nodes = if count > in_root {
        count.div_ceil(in_node)
    } else {
        0
    };
    if nodes > in_root {
        return None;
    }
    let leaf = |n: usize| (leaves[n].0, (1 + nodes + n) as u32);
    let mut root = vec![0; shape.size];
    shape.put(&mut root, &dots[0], 12);
    shape.put(&mut root[12..], &dots[1], shape.size - 12);
    root[28] = version.on_disk();
    root[29] = 8; // bytes of this part
    let mut blocks = Vec::with_capacity(1 + nodes + count);
    if nodes == 0 {
        let below: Vec<_> = (0..count).map(leaf).collect();
        fill(&mut root, ROOT_AT, in_root, &below, shape.seed);
        blocks.push(root);
    } else {
        root[30] = 1; // levels below
        let below: Vec<_> = (0..nodes)
            .map(|node| (leaves[node * in_node].0, 1 + node as u32))
            .collect();
        fill(&mut root, ROOT_AT, in_root, &below, shape.seed);
        blocks.push(root);
        for node in 0..nodes {
            let mut block = vec![0; shape.size];
            put_u16(&mut block, 4, shape.size as u16);
            let below: Vec<_> = (node * in_node..count.min((node + 1) * in_node))
                .map(leaf)
                .collect();
            fill(&mut block, NODE_AT, in_node, &below, shape.seed);
            blocks.push(block);
        }
    }
    blocks.extend(leaves.into_iter().map(|(_, block)| block));
    Some(blocks)
}

/// Writes the entries of an index from `at` on, and the checksum.
fn fill(block: &mut [u8], at: usize, limit: usize, entries: &[(u32, u32)], seed: Option<u32>) {
    for (index, (hash, to)) in entries.iter().enumerate() {
        put_u32(block, at + index * 8, *hash);
        put_u32(block, at + index * 8 + 4, *to);
    }
    put_u16(block, at, limit as u16);
    put_u16(block, at + 2, entries.len() as u16);
    if let Some(seed) = seed {
        let sum = crc32c::update(seed, &block[..at + entries.len() * 8]);
        // and over the tail itself, its checksum being 0
        let sum = crc32c::update(sum, &[0; TAIL]);
        put_u32(block, at + limit * 8 + 4, sum);
    }
}
