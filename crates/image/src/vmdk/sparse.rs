//! A sparse file whose tables come before its grains, each table twice.
//!
//! ```text
//! header | descriptor | directory, tables | directory, tables | grains, in the disk's order
//! ```

use std::fs::File;

use super::{DESCRIPTOR_SECTORS, GRAIN, IN_TABLE, SECTOR};
use crate::blocks::Blocks;
use crate::output::Output;
use crate::record::Record;
use crate::{Error, Result};

/// The line ends in the header are as they were written; there is a second set of tables.
const FLAGS: u32 = 3;
const TABLE_SECTORS: u64 = IN_TABLE * 4 / SECTOR;

/// Where everything is, in sectors.
struct Layout {
    tables: u64,
    directories: [u64; 2],
    directory_sectors: u64,
    grains: u64,
}

impl Layout {
    fn of(size: u64) -> Self {
        let tables = size.div_ceil(GRAIN * IN_TABLE);
        let directory_sectors = (tables * 4).div_ceil(SECTOR);
        let first = 1 + DESCRIPTOR_SECTORS;
        let second = first + directory_sectors + tables * TABLE_SECTORS;
        let end = second + directory_sectors + tables * TABLE_SECTORS;
        Self {
            tables,
            directories: [first, second],
            directory_sectors,
            grains: end.next_multiple_of(GRAIN / SECTOR),
        }
    }
}

/// Writes the part of a disk into the empty file `output`, with a descriptor where the file is alone.
pub(super) fn write(blocks: &Blocks<'_>, output: &File, descriptor: Option<&str>) -> Result<()> {
    let size = blocks.part.end - blocks.part.start;
    let layout = Layout::of(size);
    let mut table = vec![0u32; (layout.tables * IN_TABLE) as usize];
    let mut next = layout.grains;
    let mut file = Output::new(output, blocks.disk)?;
    blocks.each_plain(|number, grain| {
        table[number as usize] = u32::try_from(next).map_err(|_| too_large())?;
        file.put(grain, next * SECTOR)?;
        next += GRAIN / SECTOR;
        Ok(())
    })?;
    output
        .set_len(next * SECTOR)
        .map_err(Error::io("write the vmdk file"))?;
    let entries: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for at in layout.directories {
        let tables = at + layout.directory_sectors;
        let directory =
            (0..layout.tables).flat_map(|index| ((tables + index * TABLE_SECTORS) as u32).to_le_bytes());
        file.put(&directory.collect::<Vec<u8>>(), at * SECTOR)?;
        file.put(&entries, tables * SECTOR)?;
    }
    if let Some(text) = descriptor {
        file.put(text.as_bytes(), SECTOR)?;
    }
    let [redundant, directory] = layout.directories;
    let record = header(1, FLAGS, size.div_ceil(SECTOR), descriptor.is_some())
        .le64(48, redundant)
        .le64(56, directory)
        .le64(64, layout.grains);
    file.put(record.as_bytes(), 0)?;
    file.finish()
}

/// The fields of a header that all files have.
pub(super) fn header(version: u32, flags: u32, sectors: u64, descriptor: bool) -> Record {
    let (descriptor_at, descriptor_sectors) = if descriptor {
        (1, DESCRIPTOR_SECTORS)
    } else {
        (0, 0)
    };
    Record::new(SECTOR as usize)
        .bytes(0, b"KDMV")
        .le32(4, version)
        .le32(8, flags)
        .le64(12, sectors)
        .le64(20, GRAIN / SECTOR)
        .le64(28, descriptor_at)
        .le64(36, descriptor_sectors)
        .le32(44, IN_TABLE as u32)
        // a transfer that changes line ends is noticed
        .bytes(73, b"\n \r\n")
}

pub(super) fn too_large() -> Error {
    Error::unsuitable("the disk is too large for vmdk: at most 2 TiB of data")
}
