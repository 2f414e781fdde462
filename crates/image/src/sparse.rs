//! [`SparseFile`]: a disk or a file system in the making, most of it holes.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A file of a fixed size of which only what was written takes space.
#[derive(Debug)]
pub struct SparseFile {
    file: File,
    size: u64,
}

impl SparseFile {
    /// Makes the empty `file` `size` bytes long, one hole.
    pub fn new(file: File, size: u64) -> Result<Self> {
        file.set_len(0)
            .and_then(|()| file.set_len(size))
            .map_err(Error::io("set the size of the image"))?;
        Ok(Self { file, size })
    }

    /// An existing file as it is.
    pub fn open(file: File) -> Result<Self> {
        let size = file.metadata().map_err(Error::io("read the image's size"))?.len();
        Ok(Self { file, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// A path by which a tool started by this process opens the file, whatever its name is or whether it has one.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    pub fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, at)
            .map_err(Error::io("write to the image"))
    }

    /// Fills `bytes` from `at` on; beyond the end there are zeros.
    pub fn read(&self, mut bytes: &mut [u8], mut at: u64) -> Result<()> {
        while !bytes.is_empty() {
            match self.file.read_at(bytes, at) {
                Ok(0) => {
                    bytes.fill(0);
                    break;
                }
                Ok(n) => {
                    bytes = &mut bytes[n..];
                    at += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read the image")(e)),
            }
        }
        Ok(())
    }

    /// The stretches that hold data, ascending; all else reads as zeros. A file system without holes says: all.
    pub fn data(&self) -> Result<Vec<Range<u64>>> {
        let seek = |to| match rustix::fs::seek(self.file.as_fd(), to) {
            Ok(at) => Ok(Some(at.min(self.size))),
            Err(Errno::NXIO) => Ok(None), // nothing but a hole up to the end
            Err(e) => Err(Error::io("look for holes in the image")(e)),
        };
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < self.size {
            let Some(start) = seek(SeekFrom::Data(at))? else {
                break;
            };
            let end = seek(SeekFrom::Hole(start))?.unwrap_or(self.size);
            ranges.push(start..end);
            at = end;
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_seen_and_read_as_zeros() {
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 10 << 20).unwrap();
        assert!(image.data().unwrap().is_empty());
        image.write(b"x", 5 << 20).unwrap();
        let data = image.data().unwrap();
        assert!(data.iter().any(|range| range.contains(&(5 << 20))));
        let mut bytes = [1; 3];
        image.read(&mut bytes, (5 << 20) - 1).unwrap();
        assert_eq!(&bytes, b"\0x\0");
    }
}
