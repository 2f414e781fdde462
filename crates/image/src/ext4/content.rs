//! The content of files. Blocks of zeros become holes, whatever the file system of the tree made of them: the result
//! depends on the content alone.

use std::io;
use std::ops::Range;

use direct::Reader;

use crate::ext4::ahead::{Body, Entry};
use crate::ext4::extents::Extents;
use crate::ext4::groups::Volume;
use crate::ext4::stream::Stream;
use crate::{Error, Result, SparseFile};

/// From here on a file is asked for its holes before it is read.
const LARGE: u64 = 1 << 20;

/// Writes the content of a file and says where it is. `batch` has what was read ahead.
pub fn write(
    stream: &mut Stream,
    volume: &mut Volume<'_>,
    (entry, batch): (&Entry, &[u8]),
) -> Result<Extents> {
    let size = entry.stat.size;
    let block_size = volume.fs.block_size as u64;
    if size.div_ceil(block_size) > u64::from(u32::MAX) {
        return Err(Error::unsuitable(format!(
            "/{} is larger than a file of ext4 can be",
            entry.path.display()
        )));
    }
    let mut extents = Extents::default();
    let file = match &entry.body {
        Body::Small(range) => {
            let bytes = &batch[range.clone()];
            let copy = |room: &mut [u8], at: u64| {
                room.copy_from_slice(&bytes[at as usize..][..room.len()]);
                Ok(room.len())
            };
            stretch(stream, volume, (entry, &copy), 0..size, &mut extents)?;
            return Ok(extents);
        }
        Body::Large(file) => file,
        _ => return Ok(extents),
    };
    let reader = match size >= direct::LARGE {
        true => Reader::new(file),
        false => Reader::plain(file),
    };
    let read = |room: &mut [u8], at: u64| reader.read_at(room, at);
    if size < LARGE {
        stretch(stream, volume, (entry, &read), 0..size, &mut extents)?;
        return Ok(extents);
    }
    let mut done = 0;
    let again = file.try_clone().map_err(Error::io("open a file"))?;
    for range in SparseFile::open(again)?.data()? {
        // holes may be finer there than blocks are here
        let from = (range.start / block_size * block_size).max(done);
        let range = from..range.end.min(size);
        done = stretch(stream, volume, (entry, &read), range, &mut extents)?;
    }
    Ok(extents)
}

/// Reads from a place of a file on: how much there is.
type Read<'r> = dyn Fn(&mut [u8], u64) -> io::Result<usize> + 'r;

/// Copies a stretch of a file that begins with a block; where the next one may begin.
fn stretch(
    stream: &mut Stream,
    volume: &mut Volume<'_>,
    (entry, read): (&Entry, &Read<'_>),
    range: Range<u64>,
    extents: &mut Extents,
) -> Result<u64> {
    let block_size = volume.fs.block_size;
    let mut at = range.start;
    while at < range.end {
        let wanted = (range.end - at).div_ceil(block_size as u64);
        let (first, room) = stream.room(volume, wanted)?;
        let length = (room.len() as u64).min(entry.stat.size - at) as usize;
        let there = read(&mut room[..length], at).map_err(|e| tree::Error::io("read", &entry.path, e))?;
        room[there..].fill(0);
        let (blocks, logical) = (room.len() / block_size, at / block_size as u64);
        let mut kept = 0;
        for block in 0..blocks {
            let here = block * block_size..(block + 1) * block_size;
            if is_zero(&room[here.clone()]) {
                continue;
            }
            if kept != block {
                room.copy_within(here, kept * block_size);
            }
            extents.add((logical + block as u64) as u32, first + kept as u64);
            kept += 1;
        }
        stream.keep(volume, kept as u64);
        at += (blocks * block_size) as u64;
    }
    Ok(at)
}

fn is_zero(block: &[u8]) -> bool {
    let (pieces, rest) = block.as_chunks::<64>();
    pieces.iter().all(|piece| *piece == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
