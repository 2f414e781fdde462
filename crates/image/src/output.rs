//! Writing the file of an image.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::{Error, Result, SparseFile};

/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// Writes all of `bytes` at `at`.
pub(crate) fn put(output: &File, bytes: &[u8], at: u64) -> Result<()> {
    output
        .write_all_at(bytes, at)
        .map_err(Error::io("write the image"))
}

/// Writes a part of a disk at the beginning of `output`, which must be all hole there. What is a hole stays one.
pub(crate) fn copy(disk: &SparseFile, part: Range<u64>, output: &File) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    for range in disk.data()? {
        let (mut at, end) = (range.start.max(part.start), range.end.min(part.end));
        while at < end {
            let length = (end - at).min(CHUNK as u64);
            let piece = &mut buffer[..length as usize];
            disk.read(piece, at)?;
            put(output, piece, at - part.start)?;
            at += length;
        }
    }
    Ok(())
}
