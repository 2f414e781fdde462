//! Microsoft's older disk format (VHD, QEMU's `vpc`), of fixed and of dynamic size.
//!
//! ```text
//! fixed     the disk as it is | footer (512)
//! dynamic   footer | header (1024) | table: one sector number a block | blocks (bitmap 512, 2 MiB) | footer
//! ```
//! After Microsoft's "Virtual Hard Disk Image Format Specification" 1.0. All numbers are big-endian.

use std::fs::File;

use uuid::Uuid;

use crate::blocks::Blocks;
use crate::output::{Output, copy, put};
use crate::record::Record;
use crate::{Error, Result, SparseFile};

const SECTOR: u64 = 512;
const BLOCK: u64 = 2 << 20;
const HEADER_AT: u64 = SECTOR;
const TABLE_AT: u64 = HEADER_AT + 1024;
const NOWHERE: u32 = u32::MAX;
const VERSION: u32 = 0x0001_0000;
/// The largest disk of the format: 2040 GiB.
const LARGEST: u64 = 2040 << 30;
/// What Azure wants disks to be a multiple of.
const AZURE: u64 = 1 << 20;

/// Whether the file has its full size from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// As Azure takes it.
    #[default]
    Fixed,
    Dynamic,
}

/// How large the disk in the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// To a whole MiB, as Azure wants it; readers take the size as it is written.
    #[default]
    Azure,
    /// To what the disk's cylinders, heads and sectors multiply to: what Virtual PC believes. From 127.5 GiB on, where
    /// they end, to whole sectors.
    Geometry,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub kind: Kind,
    pub rounding: Rounding,
    /// The identity of the disk.
    pub uuid: Uuid,
    /// Seconds since 1970; the format counts from 2000.
    pub time: u64,
    /// 0: as many as there are cores.
    pub threads: usize,
}

/// Writes `disk` into the empty file `output`.
///
/// # Errors
/// Reading or writing; a disk larger than the format knows.
pub fn write(disk: &SparseFile, output: &File, options: &Options) -> Result<()> {
    if disk.size() > LARGEST {
        return Err(Error::unsuitable(
            "the disk is too large for vhd: at most 2040 GiB",
        ));
    }
    let geometry = Geometry::holding(disk.size().div_ceil(SECTOR), options.rounding);
    let size = match options.rounding {
        Rounding::Azure => disk.size().next_multiple_of(AZURE),
        // with the largest geometry readers believe the size as well
        Rounding::Geometry if geometry.is_largest() => disk.size().next_multiple_of(SECTOR),
        Rounding::Geometry => geometry.sectors() * SECTOR,
    };
    match options.kind {
        Kind::Fixed => {
            set_len(output, size + SECTOR)?;
            copy(disk, 0..disk.size(), output)?;
            put(output, &footer(size, geometry, options), size)
        }
        Kind::Dynamic => dynamic(disk, output, size, geometry, options),
    }
}

fn dynamic(disk: &SparseFile, output: &File, size: u64, geometry: Geometry, options: &Options) -> Result<()> {
    let count = size.div_ceil(BLOCK);
    let mut table = vec![NOWHERE; count as usize];
    let mut end = TABLE_AT + (4 * count).next_multiple_of(SECTOR);
    // one bit a sector: all of them are in the file
    let bitmap = [0xff; SECTOR as usize];
    let mut file = Output::new(output, disk)?;
    Blocks::of(disk, BLOCK, options.threads).each_plain(|number, block| {
        table[number as usize] = (end / SECTOR) as u32;
        file.put(&bitmap, end)?;
        file.put(block, end + SECTOR)?;
        end += SECTOR + BLOCK;
        Ok(())
    })?;
    set_len(output, end + SECTOR)?;
    let mut bytes: Vec<u8> = table.iter().flat_map(|place| place.to_be_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0xff);
    file.put(&bytes, TABLE_AT)?;
    let header = Record::new(1024)
        .bytes(0, b"cxsparse")
        .be64(8, u64::MAX)
        .be64(16, TABLE_AT)
        .be32(24, VERSION)
        .be32(28, count as u32)
        .be32(32, BLOCK as u32);
    file.put(&checked(header, 36), HEADER_AT)?;
    let footer = footer(size, geometry, options);
    file.put(&footer, 0)?;
    file.put(&footer, end)?;
    file.finish()
}

fn footer(size: u64, geometry: Geometry, options: &Options) -> Vec<u8> {
    const YEAR_2000: u64 = 946_684_800;
    let (offset, kind) = match options.kind {
        Kind::Fixed => (u64::MAX, 2),
        Kind::Dynamic => (HEADER_AT, 3),
    };
    // by the name of the program that made it, QEMU decides whether the size or the geometry counts
    let creator = match options.rounding {
        Rounding::Azure => b"qem2",
        Rounding::Geometry => b"qemu",
    };
    let record = Record::new(SECTOR as usize)
        .bytes(0, b"conectix")
        .be32(8, 2)
        .be32(12, VERSION)
        .be64(16, offset)
        .be32(24, options.time.saturating_sub(YEAR_2000) as u32)
        .bytes(28, creator)
        .be32(32, 0x0005_0003)
        .bytes(36, b"Wi2k")
        .be64(40, size)
        .be64(48, size)
        .be16(56, geometry.cylinders)
        .bytes(58, &[geometry.heads, geometry.sectors])
        .be32(60, kind)
        .bytes(68, options.uuid.as_bytes());
    checked(record, 64)
}

/// With the complement of the sum of all bytes at `offset`.
fn checked(record: Record, offset: usize) -> Vec<u8> {
    let sum: u32 = record.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    record.be32(offset, !sum).finish()
}

fn set_len(output: &File, length: u64) -> Result<()> {
    output.set_len(length).map_err(Error::io("write the vhd file"))
}

/// Cylinders, heads and sectors of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    cylinders: u16,
    heads: u8,
    sectors: u8,
}

impl Geometry {
    /// The specification's, for this many sectors; for [`Rounding::Geometry`] the smallest that holds them all.
    fn holding(sectors: u64, rounding: Rounding) -> Self {
        let mut wanted = sectors;
        loop {
            let geometry = Self::of(wanted);
            if rounding == Rounding::Azure || geometry.sectors() >= sectors || geometry.is_largest() {
                return geometry;
            }
            wanted += 1;
        }
    }

    /// The appendix "CHS calculation" of the specification.
    fn of(sectors: u64) -> Self {
        let total = sectors.min(65_535 * 16 * 255);
        let (per_track, heads, tracks) = if total > 65_535 * 16 * 63 {
            (255, 16, total / 255)
        } else {
            let tracks = total / 17;
            let heads = tracks.div_ceil(1024).max(4);
            if tracks < heads * 1024 && heads <= 16 {
                (17, heads, tracks)
            } else if total / 31 < 16 * 1024 {
                (31, 16, total / 31)
            } else {
                (63, 16, total / 63)
            }
        };
        Self {
            cylinders: (tracks / heads) as u16,
            heads: heads as u8,
            sectors: per_track as u8,
        }
    }

    fn sectors(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }

    fn is_largest(self) -> bool {
        self.cylinders == 65_535 && self.sectors == 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometries_hold_the_disk_where_they_are_what_counts() {
        for sectors in [1, 2048, 1 << 20, 8_388_608, 70_000_001] {
            assert!(Geometry::holding(sectors, Rounding::Geometry).sectors() >= sectors);
        }
        let geometry = Geometry::of(41_943_040);
        assert_eq!(
            (geometry.cylinders, geometry.heads, geometry.sectors),
            (41_610, 16, 63)
        );
    }
}
