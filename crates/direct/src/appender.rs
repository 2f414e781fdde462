//! Pieces of any length, one behind the other.

use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::{ALIGNMENT, Buffer, Writer};

/// Gathers what is appended in a [`Buffer`] and writes that when it is full.
///
/// What is left is written by [`finish`](Self::finish) alone: flushing and dropping do not.
#[derive(Debug)]
pub struct Appender<F> {
    writer: Writer<F>,
    buffer: Buffer,
    /// Where the buffer's first byte belongs: a multiple of the alignment.
    at: u64,
    /// What of the buffer is to be written.
    start: usize,
    end: usize,
}

impl<F: AsFd> Appender<F> {
    /// The first piece comes to lie at `at`; `size` bytes or more are written at once.
    pub fn new(writer: Writer<F>, at: u64, size: usize) -> Self {
        let start = (at % ALIGNMENT as u64) as usize;
        Self {
            writer,
            buffer: Buffer::new(size.max(1)),
            at: at - start as u64,
            start,
            end: start,
        }
    }

    /// Where the next piece comes to lie.
    pub fn position(&self) -> u64 {
        self.at + self.end as u64
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// Of pwrite(2): some of what was appended is not written.
    pub fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = &mut self.buffer[self.end..];
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.end += now.len();
            bytes = later;
            if self.end == self.buffer.len() {
                self.write_out()?;
                self.at += self.buffer.len() as u64;
                (self.start, self.end) = (0, 0);
            }
        }
        Ok(())
    }

    /// Writes what is left; the file.
    ///
    /// # Errors
    /// Of pwrite(2).
    pub fn finish(self) -> io::Result<F> {
        self.write_out()?;
        Ok(self.writer.into_file())
    }

    fn write_out(&self) -> io::Result<()> {
        let from = self.at + self.start as u64;
        self.writer.write_at(&self.buffer[self.start..self.end], from)
    }
}

impl<F: AsFd> Write for Appender<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn pieces_of_any_length_from_anywhere_on() {
        for from in [0, 4096, 10_007] {
            let file = tempfile::tempfile_in("/var/tmp").unwrap();
            let mut appender = Appender::new(Writer::new(&file), from, 8192);
            let mut expected = vec![0; from as usize];
            for length in [1, 4095, 0, 30_000, 8192, 77] {
                let piece: Vec<u8> = (0..length).map(|n: u32| (n ^ length) as u8).collect();
                appender.write_all(&piece).unwrap();
                expected.extend(&piece);
                assert_eq!(appender.position(), expected.len() as u64);
            }
            appender.finish().unwrap();
            let mut read = vec![0; 100_000];
            let length = file.read_at(&mut read, 0).unwrap();
            assert!(read[..length] == expected, "from {from}");
        }
    }
}
