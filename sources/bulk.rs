//! The bulk of a large file, written past the page cache while more of it comes.
//!
//! A file must be on disk before it enters the store. Written this way there is little left to wait for in the end, and its
//! checksum is taken while the disk writes. Who reads it later reads it once, and past the page cache too.

use std::fs::File;
use std::io;

use direct::{Behind, Buffer, Writer};

/// Bytes of a file before its bulk begins.
pub(crate) const FROM: u64 = if fault::ON { 16 << 10 } else { direct::LARGE };

/// Bytes that are written at a time.
const CHUNK: usize = if fault::ON { 8 << 10 } else { direct::CHUNK };

/// Buffers that are on their way to the disk, beside the one that is being filled.
const ON_THEIR_WAY: usize = 2;

/// Dropped, it writes no more of what has come: [`Bulk::finish`] does.
pub(crate) struct Bulk {
    behind: Behind,
    buffer: Buffer,
    /// Bytes in the buffer, and those of them that are to fill it this time: later ones begin at multiples of its size.
    filled: usize,
    most: usize,
    /// Where in the file the buffer belongs.
    at: u64,
}

impl Bulk {
    /// The bulk of `file` from its byte `at` on.
    pub(crate) fn new(file: &File, at: u64) -> io::Result<Self> {
        Ok(Self {
            behind: Behind::new(Writer::new(file.try_clone()?), ON_THEIR_WAY, CHUNK),
            buffer: Buffer::new(CHUNK),
            filled: 0,
            most: CHUNK - (at % CHUNK as u64) as usize,
            at,
        })
    }

    /// Takes what has come. An error is of this or of earlier bytes.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.most - self.filled));
            self.buffer[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == self.most {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.filled > 0 {
            self.write()?;
        }
        self.behind.finish()
    }

    fn write(&mut self) -> io::Result<()> {
        self.behind.write(&mut self.buffer, self.filled, self.at)?;
        self.at += self.filled as u64;
        (self.filled, self.most) = (0, CHUNK);
        Ok(())
    }
}
