//! The parts of ext4's format that are set right after mke2fs: superblock and group descriptors.
//!
//! Field offsets are those of the kernel's `Documentation/filesystems/ext4`.

use crate::{Error, Result, SparseFile, crc32c};

const SUPERBLOCK_AT: u64 = 1024;
pub const SUPERBLOCK_SIZE: usize = 1024;
const MAGIC: u16 = 0xef53;
/// Groups with this flag have no inode in use.
const INODE_UNINIT: u16 = 1;

/// What the superblock says.
#[derive(Debug)]
pub struct Fs {
    /// Where the file system begins in the image.
    offset: u64,
    pub block_size: u64,
    pub blocks_per_group: u64,
    pub groups: u32,
    pub inodes_per_group: u32,
    pub inode_size: usize,
    /// CRC-32C of the UUID, which all others begin with.
    pub checksum_seed: u32,
    descriptor_size: u64,
    reserved_descriptor_blocks: u64,
}

/// The descriptor of a block group.
#[derive(Debug, Clone)]
pub struct Descriptor(pub Vec<u8>);

impl Fs {
    /// Reads the superblock of the file system at `offset` of `image`; refuses one with other features than ours.
    pub fn read(image: &SparseFile, offset: u64) -> Result<Self> {
        let mut superblock = vec![0; SUPERBLOCK_SIZE];
        image.read(&mut superblock, offset + SUPERBLOCK_AT)?;
        let superblock = &superblock[..];
        let (incompatible, read_only) = (u32_at(superblock, 0x60), u32_at(superblock, 0x64));
        let inode_size = usize::from(u16_at(superblock, 0x58));
        let block_size = 1024 << u32_at(superblock, 0x18).min(6);
        // 64bit, no meta_bg; checksums, sparse_super. A seed of its own is, in a fresh file system, that of the UUID
        let known = incompatible & 0x80 != 0 && incompatible & 0x10 == 0 && read_only & 0x401 == 0x401;
        if u16_at(superblock, 0x38) != MAGIC || !known || inode_size < 256 || block_size < 2048 {
            return Err(Error::unsuitable(
                "the file system was not made with the features it was to have",
            ));
        }
        let blocks = u64::from(u32_at(superblock, 0x4)) | u64::from(u32_at(superblock, 0x150)) << 32;
        let blocks_per_group = u64::from(u32_at(superblock, 0x20).max(1));
        Ok(Self {
            offset,
            block_size,
            blocks_per_group,
            groups: blocks.div_ceil(blocks_per_group) as u32,
            inodes_per_group: u32_at(superblock, 0x28),
            inode_size,
            checksum_seed: crc32c::update(!0, &superblock[0x68..0x78]),
            descriptor_size: u64::from(u16_at(superblock, 0xfe)).max(64),
            reserved_descriptor_blocks: u64::from(u16_at(superblock, 0xce)),
        })
    }

    /// Where a block lies in the image.
    pub fn block_at(&self, block: u64) -> u64 {
        self.offset + block * self.block_size
    }

    /// Where the superblock kept in `group` lies in the image.
    pub fn superblock_at(&self, group: u32) -> u64 {
        match group {
            0 => self.offset + SUPERBLOCK_AT,
            group => self.block_at(u64::from(group) * self.blocks_per_group),
        }
    }

    /// Whether a copy of superblock and descriptors lies in `group`: 0, 1 and the powers of 3, 5 and 7.
    pub fn has_copy(&self, group: u32) -> bool {
        let power_of = |base: u32| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group <= 1 || [3, 5, 7].into_iter().any(power_of)
    }

    /// Blocks that the copy takes at the start of its group.
    pub fn copy_blocks(&self) -> u64 {
        let descriptors = u64::from(self.groups) * self.descriptor_size;
        1 + descriptors.div_ceil(self.block_size) + self.reserved_descriptor_blocks
    }

    fn descriptor_at(&self, copy: u32, group: u32) -> u64 {
        let table = u64::from(copy) * self.blocks_per_group + 1;
        self.block_at(table) + u64::from(group) * self.descriptor_size
    }

    /// The descriptor of `group` in the copy kept in group `copy`.
    pub fn descriptor(&self, image: &SparseFile, copy: u32, group: u32) -> Result<Descriptor> {
        let mut bytes = vec![0; self.descriptor_size as usize];
        image.read(&mut bytes, self.descriptor_at(copy, group))?;
        Ok(Descriptor(bytes))
    }

    /// Writes a descriptor with its checksum made anew.
    pub fn write_descriptor(
        &self,
        image: &SparseFile,
        copy: u32,
        group: u32,
        descriptor: &Descriptor,
    ) -> Result<()> {
        let mut bytes = descriptor.0.clone();
        put_u16(&mut bytes, 0x1e, 0);
        let crc = crc32c::update(self.checksum_seed, &group.to_le_bytes());
        let crc = crc32c::update(crc, &bytes);
        put_u16(&mut bytes, 0x1e, crc as u16);
        image.write(&bytes, self.descriptor_at(copy, group))
    }
}

impl Descriptor {
    pub fn flags(&self) -> u16 {
        u16_at(&self.0, 0x12)
    }

    pub fn block_bitmap(&self) -> u64 {
        self.wide(0x0, 0x20)
    }

    pub fn inode_table(&self) -> u64 {
        self.wide(0x8, 0x28)
    }

    /// How many inodes at the start of the group's table may be in use.
    pub fn used_inodes(&self, fs: &Fs) -> u32 {
        if self.flags() & INODE_UNINIT != 0 {
            return 0;
        }
        let unused = u32::from(u16_at(&self.0, 0x1c)) | u32::from(u16_at(&self.0, 0x32)) << 16;
        fs.inodes_per_group.saturating_sub(unused)
    }

    fn wide(&self, low: usize, high: usize) -> u64 {
        u64::from(u32_at(&self.0, low)) | u64::from(u32_at(&self.0, high)) << 32
    }
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
