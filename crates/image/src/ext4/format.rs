//! What a superblock says of its file system: where things are, which features there are, how checksums begin.
//!
//! ```text
//! group:   [superblock, descriptors, reserved for more of them: groups with a copy] bitmaps, inode table, data …
//! flex_bg: bitmaps and inode tables of 16 groups lie together in the first of them
//! ```
//! Field offsets are those of the kernel's `Documentation/filesystems/ext4`.

use crate::{Error, Result, SparseFile, crc32c};

pub const SUPERBLOCK_AT: u64 = 1024;
pub const SUPERBLOCK_SIZE: usize = 1024;
/// The inode of the root directory.
pub const ROOT: u32 = 2;
const MAGIC: u16 = 0xef53;

const FILETYPE: u32 = 0x2;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
const FLEX_BG: u32 = 0x200;
const CSUM_SEED: u32 = 0x2000;
const LARGE_DIR: u32 = 0x4000;

const SPARSE_SUPER: u32 = 0x1;
const LARGE_FILE: u32 = 0x2;
const HUGE_FILE: u32 = 0x8;
const GDT_CSUM: u32 = 0x10;
const DIR_NLINK: u32 = 0x20;
const EXTRA_ISIZE: u32 = 0x40;
const METADATA_CSUM: u32 = 0x400;
const VERITY: u32 = 0x8000;

const EXT_ATTR: u32 = 0x8;
const DIR_INDEX: u32 = 0x20;
const SPARSE_SUPER2: u32 = 0x200;

/// What the writer knows how to keep up: anything beyond it may ask for more than it does.
const KNOWN_COMPATIBLE: u32 = 0x4 | EXT_ATTR | 0x10 | DIR_INDEX | SPARSE_SUPER2 | 0x400 | 0x800 | 0x1000;
const KNOWN_INCOMPATIBLE: u32 = FILETYPE | EXTENTS | WIDE | FLEX_BG | CSUM_SEED | LARGE_DIR;
const KNOWN_READ_ONLY: u32 =
    SPARSE_SUPER | LARGE_FILE | HUGE_FILE | GDT_CSUM | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM | VERITY;

/// What is checksummed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    None,
    /// Group descriptors, by CRC-16; this is that of the UUID.
    Groups(u16),
    /// All metadata, by CRC-32C; this is what each begins with.
    Metadata(u32),
}

/// A file system as its superblock describes it.
#[derive(Debug)]
pub struct Fs {
    pub superblock: Vec<u8>,
    pub block_size: usize,
    pub blocks: u64,
    pub blocks_per_group: u64,
    pub groups: u32,
    pub inodes_per_group: u32,
    pub inode_size: usize,
    /// Bytes in use of an inode beyond the first 128.
    pub extra_size: u16,
    pub checksums: Checksums,
    pub descriptor_size: usize,
    /// Where the file system begins in the image.
    offset: u64,
    first_block: u64,
    reserved_descriptor_blocks: u64,
}

impl Fs {
    /// Reads the superblock of the file system at `offset` of `image`; refuses one with features unknown here.
    pub fn read(image: &SparseFile, offset: u64) -> Result<Self> {
        let mut bytes = vec![0; SUPERBLOCK_SIZE];
        image.read(&mut bytes, offset + SUPERBLOCK_AT)?;
        let superblock = &bytes[..];
        let has = |at, feature| u32_at(superblock, at) & feature != 0;
        let inode_size = usize::from(u16_at(superblock, 0x58));
        let block_size = 1024 << u32_at(superblock, 0x18).min(6);
        let known = u16_at(superblock, 0x38) == MAGIC
            && u32_at(superblock, 0x5c) & !KNOWN_COMPATIBLE == 0
            && u32_at(superblock, 0x60) & !KNOWN_INCOMPATIBLE == 0
            && u32_at(superblock, 0x64) & !KNOWN_READ_ONLY == 0
            && has(0x60, EXTENTS)
            && (128..=block_size).contains(&inode_size)
            && block_size <= 32_768
            && u32_at(superblock, 0x20) as usize <= block_size * 8
            && u32_at(superblock, 0x28) as usize <= block_size * 8;
        if !known {
            return Err(Error::unsuitable(
                "the file system was not made with the features it was to have",
            ));
        }
        let checksums = if has(0x64, METADATA_CSUM) {
            Checksums::Metadata(match has(0x60, CSUM_SEED) {
                true => u32_at(superblock, 0x270),
                false => crc32c::update(!0, &superblock[0x68..0x78]),
            })
        } else if has(0x64, GDT_CSUM) {
            Checksums::Groups(crc16(!0, &superblock[0x68..0x78]))
        } else {
            Checksums::None
        };
        let wide = has(0x60, WIDE);
        let high = |at| {
            if wide {
                u64::from(u32_at(superblock, at)) << 32
            } else {
                0
            }
        };
        let blocks = u64::from(u32_at(superblock, 0x4)) | high(0x150);
        let first_block = u64::from(u32_at(superblock, 0x14));
        let blocks_per_group = u64::from(u32_at(superblock, 0x20).max(1));
        Ok(Self {
            block_size,
            blocks,
            blocks_per_group,
            groups: (blocks - first_block).div_ceil(blocks_per_group) as u32,
            inodes_per_group: u32_at(superblock, 0x28).max(1),
            inode_size,
            // what mke2fs gives its own inodes
            extra_size: match inode_size > 128 {
                true => u16_at(superblock, 0x15e).clamp(32, (inode_size - 128) as u16) & !3,
                false => 0,
            },
            checksums,
            descriptor_size: match wide {
                true => usize::from(u16_at(superblock, 0xfe)).max(64),
                false => 32,
            },
            offset,
            first_block,
            reserved_descriptor_blocks: u64::from(u16_at(superblock, 0xce)),
            superblock: bytes,
        })
    }

    /// Where a block lies in the image.
    pub fn block_at(&self, block: u64) -> u64 {
        self.offset + block * self.block_size as u64
    }

    /// The first block of a group.
    pub fn group_start(&self, group: u32) -> u64 {
        self.first_block + u64::from(group) * self.blocks_per_group
    }

    /// Blocks of a group, of which the last may have fewer.
    pub fn blocks_of(&self, group: u32) -> u64 {
        self.blocks_per_group.min(self.blocks - self.group_start(group))
    }

    /// Where the superblock kept in `group` lies in the image.
    pub fn superblock_at(&self, group: u32) -> u64 {
        match group {
            0 => self.offset + SUPERBLOCK_AT,
            group => self.block_at(self.group_start(group)),
        }
    }

    /// Where the descriptors kept in `group` begin in the image.
    pub fn descriptors_at(&self, group: u32) -> u64 {
        self.block_at(self.group_start(group) + 1)
    }

    /// Whether a copy of superblock and descriptors lies in `group`.
    pub fn has_copy(&self, group: u32) -> bool {
        if self.has_compatible(SPARSE_SUPER2) {
            return group == 0
                || [0x24c, 0x250]
                    .iter()
                    .any(|at| u32_at(&self.superblock, *at) == group);
        }
        let power_of = |base: u32| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group <= 1 || !self.has_read_only(SPARSE_SUPER) || [3, 5, 7].into_iter().any(power_of)
    }

    /// Blocks that such a copy takes at the start of its group.
    pub fn copy_blocks(&self) -> u64 {
        let descriptors = self.groups as usize * self.descriptor_size;
        1 + descriptors.div_ceil(self.block_size) as u64 + self.reserved_descriptor_blocks
    }

    /// Blocks of the inode table of a group.
    pub fn table_blocks(&self) -> u64 {
        (self.inodes_per_group as usize * self.inode_size).div_ceil(self.block_size) as u64
    }

    /// Where an inode lies in its group, counted from 0: the group and the place.
    pub fn place_of(&self, inode: u32) -> (u32, u32) {
        (
            (inode - 1) / self.inodes_per_group,
            (inode - 1) % self.inodes_per_group,
        )
    }

    /// The first inode that is not reserved.
    pub fn first_inode(&self) -> u32 {
        match u32_at(&self.superblock, 0x4c) {
            0 => 11,
            _ => u32_at(&self.superblock, 0x54),
        }
    }

    /// What the checksums of an inode, and of the blocks that are its alone, begin with.
    pub fn inode_seed(&self, inode: u32) -> Option<u32> {
        match self.checksums {
            // its generation is 0
            Checksums::Metadata(seed) => Some(crc32c::update(
                crc32c::update(seed, &inode.to_le_bytes()),
                &[0; 4],
            )),
            _ => None,
        }
    }

    /// Whether groups may be left to be worked out, their bitmaps not written.
    pub fn has_group_checksums(&self) -> bool {
        self.checksums != Checksums::None
    }

    /// Whether directory entries say what they are.
    pub fn has_file_types(&self) -> bool {
        u32_at(&self.superblock, 0x60) & FILETYPE != 0
    }

    /// Whether large directories may be indexed.
    pub fn has_dir_index(&self) -> bool {
        self.has_compatible(DIR_INDEX)
    }

    /// Whether a directory may have more directories than fit its count of links.
    pub fn has_dir_nlink(&self) -> bool {
        self.has_read_only(DIR_NLINK)
    }

    /// Says of the file system that there are extended attributes.
    pub fn set_attributes(&mut self) {
        self.set(0x5c, EXT_ATTR);
    }

    /// Says of the file system that there are files of 2 GiB or more.
    pub fn set_large_files(&mut self) {
        self.set(0x64, LARGE_FILE);
    }

    fn set(&mut self, at: usize, feature: u32) {
        let features = u32_at(&self.superblock, at) | feature;
        put_u32(&mut self.superblock, at, features);
    }

    fn has_compatible(&self, feature: u32) -> bool {
        u32_at(&self.superblock, 0x5c) & feature != 0
    }

    fn has_read_only(&self, feature: u32) -> bool {
        u32_at(&self.superblock, 0x64) & feature != 0
    }
}

/// CRC-16 (ANSI), reflected, as the descriptors of `uninit_bg` have it.
pub fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0xa001,
            _ => crc >> 1,
        })
    })
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
