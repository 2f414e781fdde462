//! The compressed file that is written, sent and read from front to back.
//!
//! ```text
//! header | descriptor | grains (place, size, zlib) | marker, table | … | marker, directory | marker, footer | end
//! ```
//! A table follows the grains it lists. The header says that the directory is at the end; the footer says where.

use std::fs::File;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::sparse::{header, too_large};
use super::{GRAIN, IN_TABLE, SECTOR};
use crate::blocks::Blocks;
use crate::output::Output;
use crate::record::Record;
use crate::{Error, Result};

const VERSION: u32 = 3;
/// Line ends as written, compressed grains, markers.
const FLAGS: u32 = 0x3_0001;
const DEFLATE: u16 = 1;
const AT_THE_END: u64 = u64::MAX;
/// Sectors before the first grain.
const OVERHEAD: u64 = 128;

// kinds of markers
const TABLE: u32 = 1;
const DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// Writes a disk into the empty file `output`.
pub(super) fn write(blocks: &Blocks<'_>, output: &File, descriptor: &str) -> Result<()> {
    let size = blocks.part.end - blocks.part.start;
    let head = |directory| {
        header(VERSION, FLAGS, size.div_ceil(SECTOR), true)
            .le64(56, directory)
            .le64(64, OVERHEAD)
            .le16(77, DEFLATE)
    };
    let mut file = Output::new(output, blocks.disk)?;
    file.put(head(AT_THE_END).as_bytes(), 0)?;
    file.put(descriptor.as_bytes(), SECTOR)?;
    let mut stream = Stream {
        file,
        at: OVERHEAD,
        table: None,
        directory: vec![0; size.div_ceil(GRAIN * IN_TABLE) as usize],
    };
    blocks.each(
        || Ok(Compress::new(Compression::default(), true)),
        deflate,
        |number, (), packed| stream.grain(number, packed),
    )?;
    stream.end_table()?;
    let directory: Vec<u8> = stream.directory.iter().flat_map(|at| at.to_le_bytes()).collect();
    let at = stream.marked(DIRECTORY, &directory)?;
    stream.marked(FOOTER, head(at).as_bytes())?;
    stream.append(&[0; SECTOR as usize])?;
    stream.file.finish()
}

fn deflate(engine: &mut Compress, grain: &[u8], packed: &mut Vec<u8>) -> Result<()> {
    engine.reset();
    // what does not shrink grows by a few bytes for each 16 KiB
    packed.reserve(grain.len() + 1024);
    match engine.compress_vec(grain, packed, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => Ok(()),
        _ => Err(Error::unsuitable(
            "a grain of the vmdk file could not be compressed",
        )),
    }
}

struct Stream<'a> {
    file: Output<'a>,
    /// The next free sector.
    at: u64,
    /// The table that is being filled: its number and entries.
    table: Option<(u64, Vec<u32>)>,
    directory: Vec<u32>,
}

impl Stream<'_> {
    fn grain(&mut self, number: u64, packed: &[u8]) -> Result<()> {
        let (table, entry) = (number / IN_TABLE, number % IN_TABLE);
        if self.table.as_ref().is_some_and(|(open, _)| *open != table) {
            self.end_table()?;
        }
        let place = u32::try_from(self.at).map_err(|_| too_large())?;
        let (_, entries) = self
            .table
            .get_or_insert_with(|| (table, vec![0; IN_TABLE as usize]));
        entries[entry as usize] = place;
        let marker = Record::new(12)
            .le64(0, number * GRAIN / SECTOR)
            .le32(8, packed.len() as u32);
        self.file.put(marker.as_bytes(), self.at * SECTOR)?;
        self.file.put(packed, self.at * SECTOR + 12)?;
        self.at += (12 + packed.len() as u64).div_ceil(SECTOR);
        Ok(())
    }

    fn end_table(&mut self) -> Result<()> {
        if let Some((number, entries)) = self.table.take() {
            let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
            let at = self.marked(TABLE, &bytes)?;
            self.directory[number as usize] = u32::try_from(at).map_err(|_| too_large())?;
        }
        Ok(())
    }

    /// Appends a marker and what it announces; where that is, in sectors.
    fn marked(&mut self, kind: u32, bytes: &[u8]) -> Result<u64> {
        let marker = Record::new(SECTOR as usize)
            .le64(0, (bytes.len() as u64).div_ceil(SECTOR))
            .le32(12, kind);
        self.append(marker.as_bytes())?;
        self.append(bytes)
    }

    /// Appends whole sectors; where they begin. The last ones are written to their end.
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let at = self.at;
        self.file.put(bytes, at * SECTOR)?;
        self.at += (bytes.len() as u64).div_ceil(SECTOR);
        Ok(at)
    }
}
