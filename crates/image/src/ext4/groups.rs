//! The groups of a file system: their descriptors, and what is written of them and of the superblock at the end.

use crate::ext4::format::{Checksums, Fs, SUPERBLOCK_SIZE, crc16, put_u16, put_u32, u16_at, u32_at};
use crate::{Result, SparseFile, crc32c};

/// No inode of the group is in use, and its bitmap not there.
const INODE_UNINIT: u16 = 1;
/// The bitmap of the group's blocks is not there: it has only what belongs to the file system itself.
const BLOCK_UNINIT: u16 = 2;
/// The inode table is all zeros where it is not in use.
const INODE_ZEROED: u16 = 4;

/// A file system being written: its superblock and groups, and where it lies.
#[derive(Debug)]
pub struct Volume<'a> {
    pub fs: Fs,
    pub image: &'a SparseFile,
    pub groups: Vec<Descriptor>,
}

/// The descriptor of a group.
#[derive(Debug, Clone)]
pub struct Descriptor(Vec<u8>);

/// Which of a group's two bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitmap {
    Blocks,
    Inodes,
}

impl<'a> Volume<'a> {
    /// Reads the file system that begins at `offset` of `image`, and settles what versions of mke2fs do differently.
    pub fn read(image: &'a SparseFile, offset: u64) -> Result<Self> {
        let fs = Fs::read(image, offset)?;
        let mut bytes = vec![0; fs.groups as usize * fs.descriptor_size];
        image.read(&mut bytes, fs.descriptors_at(0))?;
        let groups = bytes
            .chunks_exact(fs.descriptor_size)
            .map(|bytes| Descriptor(bytes.to_vec()))
            .collect();
        let mut volume = Self { fs, image, groups };
        volume.settle()?;
        Ok(volume)
    }

    /// A group that holds nothing but a copy of the superblock counts as untouched for mke2fs 1.47.0 and as touched for
    /// 1.47.2: here it always is untouched.
    fn settle(&mut self) -> Result<()> {
        // the last group may be cut short: its bitmap is always there
        for group in 0..self.fs.groups.saturating_sub(1) {
            let index = group as usize;
            if !self.fs.has_copy(group) || self.groups[index].flags() != INODE_UNINIT | INODE_ZEROED {
                continue;
            }
            let mut bare = vec![0; self.fs.block_size];
            set_bits(&mut bare, 0..self.fs.copy_blocks());
            let length = self.fs.blocks_per_group as usize / 8;
            let at = self.fs.block_at(self.groups[index].block_bitmap());
            let mut bitmap = vec![0; length];
            self.image.read(&mut bitmap, at)?;
            if bitmap == bare[..length] {
                self.image.write(&vec![0; self.fs.block_size], at)?;
                let descriptor = &mut self.groups[index];
                put_u16(
                    &mut descriptor.0,
                    0x12,
                    INODE_UNINIT | BLOCK_UNINIT | INODE_ZEROED,
                );
                descriptor.put(0x18, 0x38, 0);
            }
        }
        Ok(())
    }

    /// A bitmap of a group as it is, or as it comes to be when it is worked out.
    pub fn bitmap(&self, which: Bitmap, group: u32) -> Result<Vec<u8>> {
        let mut bitmap = vec![0; self.fs.block_size];
        let descriptor = &self.groups[group as usize];
        let flag = match which {
            Bitmap::Blocks => BLOCK_UNINIT,
            Bitmap::Inodes => INODE_UNINIT,
        };
        if !self.fs.has_group_checksums() || descriptor.flags() & flag == 0 {
            self.image
                .read(&mut bitmap, self.fs.block_at(descriptor.bitmap(which)))?;
            return Ok(bitmap);
        }
        let all = self.fs.block_size as u64 * 8;
        match which {
            Bitmap::Inodes => set_bits(&mut bitmap, u64::from(self.fs.inodes_per_group)..all),
            Bitmap::Blocks => {
                set_bits(&mut bitmap, self.fs.blocks_of(group)..all);
                if self.fs.has_copy(group) {
                    set_bits(&mut bitmap, 0..self.fs.copy_blocks());
                }
                let start = self.fs.group_start(group);
                let end = start + self.fs.blocks_of(group);
                for descriptor in &self.groups {
                    let table = descriptor.inode_table();
                    for (first, length) in [
                        (descriptor.block_bitmap(), 1),
                        (descriptor.inode_bitmap(), 1),
                        (table, self.fs.table_blocks()),
                    ] {
                        let (from, to) = (first.max(start), (first + length).min(end));
                        if from < to {
                            set_bits(&mut bitmap, from - start..to - start);
                        }
                    }
                }
            }
        }
        Ok(bitmap)
    }

    /// Writes a bitmap of a group, of which `taken` more bits are set than the descriptor counts.
    pub fn write_bitmap(&mut self, which: Bitmap, group: u32, bitmap: &[u8], taken: u32) -> Result<()> {
        let descriptor = &mut self.groups[group as usize];
        let (flag, free, bits, sum) = match which {
            Bitmap::Blocks => (BLOCK_UNINIT, (0xc, 0x2c), self.fs.blocks_per_group, (0x18, 0x38)),
            Bitmap::Inodes => (
                INODE_UNINIT,
                (0xe, 0x2e),
                u64::from(self.fs.inodes_per_group),
                (0x1a, 0x3a),
            ),
        };
        descriptor.clear_flag(flag);
        let left = descriptor.get(free.0, free.1).saturating_sub(taken);
        descriptor.put(free.0, free.1, left);
        if let Checksums::Metadata(seed) = self.fs.checksums {
            descriptor.put(sum.0, sum.1, crc32c::update(seed, &bitmap[..bits as usize / 8]));
        }
        self.image
            .write(bitmap, self.fs.block_at(descriptor.bitmap(which)))
    }

    /// Writes descriptors and superblock, with the copies of both; `blocks` and `inodes` more are in use.
    pub fn finish(mut self, blocks: u64, inodes: u32) -> Result<()> {
        let mut descriptors = Vec::with_capacity(self.groups.len() * self.fs.descriptor_size);
        for (group, descriptor) in self.groups.iter_mut().enumerate() {
            let sum = self.fs.descriptor_checksum(group as u32, &descriptor.0);
            put_u16(&mut descriptor.0, 0x1e, sum);
            descriptors.extend_from_slice(&descriptor.0);
        }
        let superblock = &mut self.fs.superblock;
        let wide = self.fs.descriptor_size >= 64;
        let free = u64::from(u32_at(superblock, 0xc)) | if wide { high(superblock, 0x158) } else { 0 };
        let free = free.saturating_sub(blocks);
        put_u32(superblock, 0xc, free as u32);
        if wide {
            put_u32(superblock, 0x158, (free >> 32) as u32);
        }
        let free = u32_at(superblock, 0x10).saturating_sub(inodes);
        put_u32(superblock, 0x10, free);
        // KiB written so far: what mke2fs believes depends on its buffering
        superblock[0x178..0x180].fill(0);
        for group in (0..self.fs.groups).filter(|group| self.fs.has_copy(*group)) {
            let mut superblock = self.fs.superblock.clone();
            put_u16(&mut superblock, 0x5a, group as u16);
            if let Checksums::Metadata(_) = self.fs.checksums {
                let sum = crc32c::update(!0, &superblock[..SUPERBLOCK_SIZE - 4]);
                put_u32(&mut superblock, SUPERBLOCK_SIZE - 4, sum);
            }
            self.image.write(&superblock, self.fs.superblock_at(group))?;
            self.image.write(&descriptors, self.fs.descriptors_at(group))?;
        }
        Ok(())
    }
}

impl Fs {
    fn descriptor_checksum(&self, group: u32, descriptor: &[u8]) -> u16 {
        let (before, after) = (&descriptor[..0x1e], &descriptor[0x20..]);
        match self.checksums {
            Checksums::None => 0,
            Checksums::Groups(of_uuid) => [&group.to_le_bytes()[..], before, after]
                .iter()
                .fold(of_uuid, |crc, bytes| crc16(crc, bytes)),
            Checksums::Metadata(seed) => [&group.to_le_bytes()[..], before, &[0; 2], after]
                .iter()
                .fold(seed, |crc, bytes| crc32c::update(crc, bytes))
                as u16,
        }
    }
}

impl Descriptor {
    pub fn inode_table(&self) -> u64 {
        self.block(0x8, 0x28)
    }

    /// How many inodes at the start of the group's table may be in use.
    pub fn inodes_in_use(&self, fs: &Fs) -> u32 {
        let is_untouched = fs.has_group_checksums() && self.flags() & INODE_UNINIT != 0;
        if is_untouched || self.get(0xe, 0x2e) == fs.inodes_per_group {
            return 0;
        }
        fs.inodes_per_group.saturating_sub(self.get(0x1c, 0x32))
    }

    /// Says how many inodes of the table's start are in use, and of how many more directories.
    pub fn set_inodes_in_use(&mut self, fs: &Fs, inodes: u32, more_directories: u32) {
        if fs.has_group_checksums() {
            self.put(0x1c, 0x32, fs.inodes_per_group - inodes);
        }
        let directories = self.get(0x10, 0x30) + more_directories;
        self.put(0x10, 0x30, directories);
    }

    fn flags(&self) -> u16 {
        u16_at(&self.0, 0x12)
    }

    fn clear_flag(&mut self, flag: u16) {
        let flags = self.flags() & !flag;
        put_u16(&mut self.0, 0x12, flags);
    }

    fn block_bitmap(&self) -> u64 {
        self.block(0x0, 0x20)
    }

    fn inode_bitmap(&self) -> u64 {
        self.block(0x4, 0x24)
    }

    fn bitmap(&self, which: Bitmap) -> u64 {
        match which {
            Bitmap::Blocks => self.block_bitmap(),
            Bitmap::Inodes => self.inode_bitmap(),
        }
    }

    /// The number of a block: 32 bits, and in a wide descriptor 32 more.
    fn block(&self, low: usize, at: usize) -> u64 {
        let more = if self.0.len() >= 64 { high(&self.0, at) } else { 0 };
        u64::from(u32_at(&self.0, low)) | more
    }

    /// A count or checksum: 16 bits, and in a wide descriptor 16 more.
    fn get(&self, low: usize, high: usize) -> u32 {
        let more = if self.0.len() >= 64 {
            u16_at(&self.0, high)
        } else {
            0
        };
        u32::from(u16_at(&self.0, low)) | u32::from(more) << 16
    }

    fn put(&mut self, low: usize, high: usize, value: u32) {
        put_u16(&mut self.0, low, value as u16);
        if self.0.len() >= 64 {
            put_u16(&mut self.0, high, (value >> 16) as u16);
        }
    }
}

fn high(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32
}

/// Sets a range of bits, the lowest bit of the first byte being the first.
pub fn set_bits(bitmap: &mut [u8], bits: std::ops::Range<u64>) {
    let (mut bit, end) = (bits.start as usize, bits.end as usize);
    while bit < end {
        if bit % 8 == 0 && end - bit >= 8 {
            bitmap[bit / 8..end / 8].fill(0xff);
            bit = end / 8 * 8;
        } else {
            bitmap[bit / 8] |= 1 << (bit % 8);
            bit += 1;
        }
    }
}
