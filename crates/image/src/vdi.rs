//! VirtualBox's disk format, of dynamic size: blocks of 1 MiB, those that hold something.
//!
//! ```text
//! header (512) | map: one number a block, of its place in the file | blocks, in the disk's order
//! ```
//! After VirtualBox's `VDICore.h`. All numbers are little-endian.

use std::fs::File;

use uuid::Uuid;

use crate::blocks::Blocks;
use crate::output::Output;
use crate::record::Record;
use crate::{Error, Result, SparseFile};

const BLOCK: u64 = 1 << 20;
const MAP_AT: u64 = 512;
const SIGNATURE: u32 = 0xbeda_107f;
const VERSION: u32 = 0x0001_0001;
/// Bytes of the header that follow this number's own beginning, as VirtualBox 1.1 counts them.
const HEADER_SIZE: u32 = 0x190;
const DYNAMIC: u32 = 1;
/// A block that is not in the file.
const NOWHERE: u32 = u32::MAX;

/// Writes `disk` into the empty file `output`, under the identity `uuid`.
///
/// # Errors
/// Reading or writing; a disk of 4 PiB or more.
pub fn write(disk: &SparseFile, output: &File, uuid: Uuid, threads: usize) -> Result<()> {
    let count = u32::try_from(disk.size().div_ceil(BLOCK))
        .ok()
        .filter(|count| *count < NOWHERE)
        .ok_or_else(|| Error::unsuitable("the disk is too large for vdi"))?;
    let data_at = (MAP_AT + 4 * u64::from(count)).next_multiple_of(4096);
    let mut map = vec![NOWHERE; count as usize];
    let mut allocated = 0u32;
    let mut file = Output::new(output, disk)?;
    Blocks::of(disk, BLOCK, threads).each_plain(|number, block| {
        map[number as usize] = allocated;
        file.put(block, data_at + u64::from(allocated) * BLOCK)?;
        allocated += 1;
        Ok(())
    })?;
    output
        .set_len(data_at + u64::from(allocated) * BLOCK)
        .map_err(Error::io("write the vdi file"))?;
    let map: Vec<u8> = map.iter().flat_map(|place| place.to_le_bytes()).collect();
    file.put(&map, MAP_AT)?;
    let header = Record::new(MAP_AT as usize)
        .bytes(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n")
        .le32(0x40, SIGNATURE)
        .le32(0x44, VERSION)
        .le32(0x48, HEADER_SIZE)
        .le32(0x4c, DYNAMIC)
        .le32(0x154, MAP_AT as u32)
        .le32(0x158, data_at as u32)
        .le32(0x168, 512)
        .le64(0x170, disk.size().next_multiple_of(512))
        .le32(0x178, BLOCK as u32)
        .le32(0x180, count)
        .le32(0x184, allocated)
        .bytes(0x188, &uuid.to_bytes_le())
        .bytes(0x198, &Uuid::new_v5(&uuid, b"modification").to_bytes_le());
    file.put(header.as_bytes(), 0)?;
    file.finish()
}
