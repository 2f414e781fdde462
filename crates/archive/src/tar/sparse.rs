//! Sparse files, in GNU's pax format 1.0: a map before the data, both as the member's content.
//!
//! ```text
//! N\n OFFSET\n LENGTH\n …    decimal, padded with zeros to a block
//! the data of each range
//! ```
//!
//! A file is sparse if the file system says so; what is data is decided by content, in units of 4 KiB, so that a copy
//! with other holes makes the same archive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::header::BLOCK;

const UNIT: u64 = 4096;
const WINDOW: usize = 256 * UNIT as usize;

/// The ranges of a sparse file that hold data: offset and length, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Map(pub(crate) Vec<(u64, u64)>);

impl Map {
    /// The map of `file`; `None` where it has no hole.
    pub(crate) fn of(file: &File, size: u64) -> io::Result<Option<Self>> {
        if size < UNIT || first_hole(file)? >= size {
            return Ok(None);
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut buffer = vec![0; WINDOW];
        let mut at = 0;
        while let Some(data) = next_data(file, at)?.filter(|data| *data < size) {
            at = data / UNIT * UNIT;
            let window = (size - at).min(WINDOW as u64) as usize;
            file.read_exact_at(&mut buffer[..window], at)?;
            for unit in buffer[..window].chunks(UNIT as usize) {
                if unit.iter().any(|byte| *byte != 0) {
                    let length = unit.len() as u64;
                    match ranges.last_mut() {
                        Some((offset, total)) if *offset + *total == at => *total += length,
                        _ => ranges.push((at, length)),
                    }
                }
                at += unit.len() as u64;
            }
        }
        Ok(Some(Self(ranges)))
    }

    /// The map as it stands before the data.
    pub(crate) fn block(&self, size: u64) -> Vec<u8> {
        // a file that ends in a hole has an empty range at its end, as GNU tar has it
        let ends = self.ends_in_hole(size);
        let ranges = self.0.iter().copied().chain(ends.then_some((size, 0)));
        let numbers: String = ranges
            .flat_map(|(a, b)| [a, b])
            .map(|n| format!("{n}\n"))
            .collect();
        let count = self.0.len() + usize::from(ends);
        let mut bytes = format!("{count}\n{numbers}").into_bytes();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// Whether nothing but a hole is behind the last range.
    pub(crate) fn ends_in_hole(&self, size: u64) -> bool {
        self.0
            .last()
            .is_none_or(|(offset, length)| offset + length < size)
    }

    /// How much data there is.
    pub(crate) fn data(&self) -> u64 {
        self.0.iter().map(|(_, length)| length).sum()
    }
}

/// Where the first hole begins: at the end of a file that has none.
fn first_hole(file: &File) -> io::Result<u64> {
    match seek(file, SeekFrom::Hole(0)) {
        Ok(at) => Ok(at),
        // a file system that knows no holes
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(u64::MAX),
        Err(e) => Err(e.into()),
    }
}

fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_between_holes_is_found() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        assert_eq!(Map::of(&file, 10 << 20).unwrap(), Some(Map(Vec::new())));
        file.write_all_at(b"x", 5 << 20).unwrap();
        let map = Map::of(&file, 10 << 20).unwrap().unwrap();
        assert_eq!(map, Map(vec![(5 << 20, 4096)]));
        assert!(
            map.block(10 << 20)
                .starts_with(b"2\n5242880\n4096\n10485760\n0\n")
        );
    }
}
