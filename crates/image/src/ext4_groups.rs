//! Makes block groups and superblocks say nothing of the version of mke2fs.
//!
//! A group that holds nothing but a copy of the superblock counts as untouched for mke2fs 1.47.0 and as touched for
//! 1.47.2: here it always is untouched, its block bitmap left to be worked out. What mke2fs believes to have written so
//! far, which depends on its buffering, is forgotten in every superblock.

use crate::ext4_format::{Descriptor, Fs, SUPERBLOCK_SIZE, put_u16, put_u32};
use crate::{Result, SparseFile, crc32c};

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const INODE_ZEROED: u16 = 4;

/// Settles the groups and superblocks of the file system that begins at `offset` of `image`.
pub fn settle(image: &SparseFile, offset: u64) -> Result<()> {
    let fs = Fs::read(image, offset)?;
    let copies: Vec<_> = (0..fs.groups).filter(|group| fs.has_copy(*group)).collect();
    // the last group may be cut short: its bitmap is always there
    for group in copies.iter().copied().filter(|group| group + 1 < fs.groups) {
        let mut descriptor = fs.descriptor(image, 0, group)?;
        if is_touched_but_empty(&fs, image, &descriptor)? {
            image.write(
                &vec![0; fs.block_size as usize],
                fs.block_at(descriptor.block_bitmap()),
            )?;
            put_u16(
                &mut descriptor.0,
                0x12,
                INODE_UNINIT | BLOCK_UNINIT | INODE_ZEROED,
            );
            put_u16(&mut descriptor.0, 0x18, 0); // checksum of the bitmap
            put_u16(&mut descriptor.0, 0x38, 0);
            for copy in &copies {
                fs.write_descriptor(image, *copy, group, &descriptor)?;
            }
        }
    }
    for group in copies {
        let mut superblock = vec![0; SUPERBLOCK_SIZE];
        image.read(&mut superblock, fs.superblock_at(group))?;
        superblock[0x178..0x180].fill(0); // KiB written so far
        let checksum = crc32c::update(!0, &superblock[..0x3fc]);
        put_u32(&mut superblock, 0x3fc, checksum);
        image.write(&superblock, fs.superblock_at(group))?;
    }
    Ok(())
}

/// Whether the group's bitmap is there and has the blocks of the copy and no other.
fn is_touched_but_empty(fs: &Fs, image: &SparseFile, descriptor: &Descriptor) -> Result<bool> {
    if descriptor.flags() != INODE_UNINIT | INODE_ZEROED {
        return Ok(false);
    }
    let mut bitmap = vec![0; (fs.blocks_per_group / 8) as usize];
    image.read(&mut bitmap, fs.block_at(descriptor.block_bitmap()))?;
    let leading = fs.copy_blocks();
    let expected = |index: usize| match leading.saturating_sub(index as u64 * 8) {
        0 => 0,
        bits @ 1..8 => (1u8 << bits) - 1,
        _ => 0xff,
    };
    Ok(bitmap
        .iter()
        .enumerate()
        .all(|(index, byte)| *byte == expected(index)))
}
