//! [`SparseFile`]: a disk or a file system in the making, most of it holes.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use direct::{Buffer, CHUNK, Reader};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::output::Output;

/// A file of a fixed size of which only what was written takes space.
#[derive(Debug)]
pub struct SparseFile {
    file: File,
    size: u64,
}

impl AsFd for SparseFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
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
        // the end, not the metadata: that of a block device has no size
        let size = rustix::fs::seek(&file, SeekFrom::End(0)).map_err(Error::io("read the image's size"))?;
        Ok(Self { file, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The same file with the size that it has now, which a tool may have changed.
    pub fn renewed(self) -> Result<Self> {
        Self::open(self.file)
    }

    /// Writes all of `other` from `at` on; what is a hole there, or zeros, is passed over.
    pub fn write_all_of(&self, other: &Self, at: u64) -> Result<()> {
        let mut output = Output::exact(&self.file, other.is_large()?);
        let mut result = Ok(());
        other.blocks(0, other.size(), &mut |from, block| {
            if result.is_ok() {
                result = output.put(block, at + from);
            }
        })?;
        result.and_then(|()| output.finish())
    }

    /// Whether so much is in it that it is read and written past the page cache.
    pub(crate) fn is_large(&self) -> Result<bool> {
        if self.size < direct::LARGE {
            return Ok(false);
        }
        let sizes = self.data()?.into_iter().map(|range| range.end - range.start);
        Ok(sizes.sum::<u64>() >= direct::LARGE)
    }

    /// How all of it is read.
    pub(crate) fn reader(&self) -> Result<Reader<&File>> {
        Ok(match self.is_large()? {
            true => Reader::new(&self.file),
            false => Reader::plain(&self.file),
        })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
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

    /// Makes `size` bytes from `at` on zeros: a hole where the file system has holes.
    pub fn clear(&self, at: u64, size: u64) -> Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if size == 0 || fallocate(&self.file, flags, at, size).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; CHUNK];
        let mut done = 0;
        while done < size {
            let length = (size - done).min(CHUNK as u64);
            self.write(&zeros[..length as usize], at + done)?;
            done += length;
        }
        Ok(())
    }

    /// Calls `visit` with each block of 4 KiB between `at` and `at + size` that is not all zeros, and with its distance
    /// from `at`: so holes and written zeros are the same.
    pub fn blocks(&self, at: u64, size: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
        const BLOCK: u64 = 4096;
        let end = at.saturating_add(size).min(self.size);
        let mut buffer = Buffer::new(CHUNK);
        let reader = self.reader()?;
        let mut next = at;
        for range in self.data()? {
            // whole blocks, counted from `at`
            let begin = range.start.max(next).max(at);
            let mut from = at + (begin - at) / BLOCK * BLOCK;
            from = from.max(next);
            while from < range.end.min(end) {
                let length = (end - from).min(CHUNK as u64);
                let piece = &mut buffer[..length as usize];
                let read = reader.read_at(piece, from).map_err(Error::io("read the image"))?;
                piece[read..].fill(0);
                for (index, block) in piece.chunks(BLOCK as usize).enumerate() {
                    if block.iter().any(|byte| *byte != 0) {
                        visit(from - at + index as u64 * BLOCK, block);
                    }
                }
                from += length;
            }
            next = next.max(from);
        }
        Ok(())
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
    fn holes_and_zeros_are_the_same_blocks() {
        let seen = |image: &SparseFile, at: u64| {
            let mut seen = Vec::new();
            let mut visit = |at: u64, block: &[u8]| seen.push((at, block.to_vec()));
            image.blocks(at, 8 << 20, &mut visit).unwrap();
            seen
        };
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 10 << 20).unwrap();
        image.write(b"begin", 512).unwrap();
        image.write(b"end", (8 << 20) - 3).unwrap();
        let before = seen(&image, 0);
        assert_eq!(before.len(), 2);
        image.write(&[0; 50_000], 3 << 20).unwrap();
        assert_eq!(seen(&image, 0), before);
        assert_eq!(seen(&image, 512)[0].0, 0);
        image.clear(0, 4096).unwrap();
        assert_eq!(seen(&image, 0), before[1..]);
    }

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
