//! Microsoft's newer disk format (VHDX), of dynamic size: blocks of 1 MiB, those that hold something.
//!
//! ```text
//! 0        identifier        64 KiB, 128 KiB   the header, twice      192 KiB, 256 KiB   table of regions, twice
//! 1 MiB    log, empty        2 MiB             metadata               3 MiB              block table
//! then     blocks, in the disk's order
//! ```
//! After Microsoft's \[MS-VHDX\]. All numbers are little-endian, sums are CRC-32C.

use std::fs::File;

use uuid::{Uuid, uuid};

use crate::blocks::Blocks;
use crate::crc32c;
use crate::output::Output;
use crate::record::Record;
use crate::{Error, Result, SparseFile};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const BLOCK: u64 = MIB;
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const TABLE_AT: u64 = 3 * MIB;
const SECTOR: u64 = 512;
/// After so many blocks the table has an entry for a bitmap, which only disks with a parent use.
const CHUNK: u64 = (1 << 23) * SECTOR / BLOCK;
/// 64 TiB.
const LARGEST: u64 = 64 << 40;
const FULLY_PRESENT: u64 = 6;

const TABLE_REGION: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
const METADATA_REGION: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");
const FILE_PARAMETERS: Uuid = uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
const DISK_SIZE: Uuid = uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
const DISK_ID: Uuid = uuid!("beca12ab-b2e6-4523-93ef-c309e000c746");
const LOGICAL_SECTOR: Uuid = uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f");
const PHYSICAL_SECTOR: Uuid = uuid!("cda348c7-445d-4471-9cc9-e9885251c556");

/// Writes `disk` into the empty file `output`, under the identity `uuid`.
///
/// # Errors
/// Reading or writing; a disk of more than 64 TiB.
pub fn write(disk: &SparseFile, output: &File, uuid: Uuid, threads: usize) -> Result<()> {
    let size = disk.size().next_multiple_of(SECTOR);
    if size > LARGEST {
        return Err(Error::unsuitable(
            "the disk is too large for vhdx: at most 64 TiB",
        ));
    }
    let blocks = size.div_ceil(BLOCK);
    let entries = blocks + blocks.saturating_sub(1) / CHUNK;
    let table_size = (8 * entries).next_multiple_of(MIB).max(MIB);
    let mut table = vec![0u64; entries as usize];
    let mut end = TABLE_AT + table_size;
    let mut file = Output::new(output, disk)?;
    Blocks::of(disk, BLOCK, threads).each_plain(|number, block| {
        // the place is a whole MiB, so that the state fits below it
        table[(number + number / CHUNK) as usize] = end | FULLY_PRESENT;
        file.put(block, end)?;
        end += BLOCK;
        Ok(())
    })?;
    output.set_len(end).map_err(Error::io("write the vhdx file"))?;
    let table: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    file.put(&table, TABLE_AT)?;
    file.put(&metadata(size, uuid), METADATA_AT)?;
    let identifier = Record::new(16).bytes(0, b"vhdxfile");
    file.put(identifier.as_bytes(), 0)?;
    let regions = regions(table_size);
    for (copy, sequence) in [(0, 0), (1, 1)] {
        file.put(&header(sequence, uuid), (64 + 64 * copy) * KIB)?;
        file.put(&regions, (192 + 64 * copy) * KIB)?;
    }
    file.finish()
}

/// The header with the higher sequence number counts.
fn header(sequence: u64, uuid: Uuid) -> Vec<u8> {
    let record = Record::new(4096)
        .bytes(0, b"head")
        .le64(8, sequence)
        .bytes(16, &Uuid::new_v5(&uuid, b"file").to_bytes_le())
        .bytes(32, &Uuid::new_v5(&uuid, b"data").to_bytes_le())
        .le16(66, 1)
        .le32(68, MIB as u32)
        .le64(72, LOG_AT);
    summed(record)
}

fn regions(table_size: u64) -> Vec<u8> {
    let mut record = Record::new(64 * KIB as usize).bytes(0, b"regi").le32(8, 2);
    let regions = [
        (TABLE_REGION, TABLE_AT, table_size),
        (METADATA_REGION, METADATA_AT, MIB),
    ];
    for (index, (id, at, size)) in regions.into_iter().enumerate() {
        let entry = 16 + 32 * index;
        record = record
            .bytes(entry, &id.to_bytes_le())
            .le64(entry + 16, at)
            .le32(entry + 24, size as u32)
            .le32(entry + 28, 1);
    }
    summed(record)
}

/// A table of items (64 KiB) and the items behind it.
fn metadata(size: u64, uuid: Uuid) -> Vec<u8> {
    const ITEMS_AT: usize = 64 << 10;
    const REQUIRED: u32 = 4;
    const OF_DISK: u32 = 2;
    let sector = (SECTOR as u32).to_le_bytes().to_vec();
    let parameters = [(BLOCK as u32).to_le_bytes(), [0; 4]].concat();
    let items = [
        (FILE_PARAMETERS, REQUIRED, parameters),
        (DISK_SIZE, REQUIRED | OF_DISK, size.to_le_bytes().to_vec()),
        (DISK_ID, REQUIRED | OF_DISK, uuid.to_bytes_le().to_vec()),
        (LOGICAL_SECTOR, REQUIRED | OF_DISK, sector.clone()),
        (PHYSICAL_SECTOR, REQUIRED | OF_DISK, sector),
    ];
    let mut record = Record::new(ITEMS_AT + 4096)
        .bytes(0, b"metadata")
        .le16(10, items.len() as u16);
    let mut at = ITEMS_AT;
    for (index, (id, flags, value)) in items.iter().enumerate() {
        let entry = 32 + 32 * index;
        record = record
            .bytes(entry, &id.to_bytes_le())
            .le32(entry + 16, at as u32)
            .le32(entry + 20, value.len() as u32)
            .le32(entry + 24, *flags)
            .bytes(at, value);
        at += value.len().next_multiple_of(8);
    }
    record.finish()
}

/// With the sum over all of it at offset 4.
fn summed(record: Record) -> Vec<u8> {
    let sum = !crc32c::update(!0, record.as_bytes());
    record.le32(4, sum).finish()
}
