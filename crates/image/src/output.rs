//! Writing the file of an image.

use std::fs::File;
use std::ops::Range;

use direct::{Buffer, CHUNK, Writer};

use crate::{Error, Result, SparseFile};

/// A gap of less than this is filled with zeros rather than left a hole, where the file has nothing yet: what has its places
/// at multiples of a cluster leaves such gaps.
const GAP: usize = 64 << 10;

/// The file of an image, to which mostly what comes next is written.
///
/// A large one passes the page cache. For that the last bytes are gathered: those behind which there is room yet, and some
/// before them that may still change.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    writer: Writer<&'a File>,
    /// `None`: a small file, or one that is written where there may be something.
    window: Option<Window>,
    /// Gaps up to this are filled.
    gap: usize,
}

/// Two chunks. What is outside of `filled` is zeros.
#[derive(Debug)]
struct Window {
    buffer: Buffer,
    /// Where it begins in the file.
    at: u64,
    filled: Range<usize>,
}

impl<'a> Output<'a> {
    /// The empty `file`, for an image made from `disk`.
    pub(crate) fn new(file: &'a File, disk: &SparseFile) -> Result<Self> {
        Ok(Self {
            gap: GAP,
            ..Self::exact(file, disk.is_large()?)
        })
    }

    /// A file of which nothing is touched but what is put.
    pub(crate) fn exact(file: &'a File, is_large: bool) -> Self {
        Self {
            writer: match is_large {
                true => Writer::new(file),
                false => Writer::plain(file),
            },
            window: is_large.then(|| Window {
                buffer: Buffer::new(2 * CHUNK),
                at: 0,
                filled: 0..0,
            }),
            gap: 0,
        }
    }

    /// Writes all of `bytes` at `at`: now, or soon.
    pub(crate) fn put(&mut self, mut bytes: &[u8], mut at: u64) -> Result<()> {
        let Some(window) = &mut self.window else {
            return self.writer.write_at(bytes, at).map_err(failed());
        };
        let first = window.at + window.filled.start as u64;
        if at < first && !window.filled.is_empty() {
            // what was written already, of a table maybe
            let before = ((first - at) as usize).min(bytes.len());
            self.writer.write_at(&bytes[..before], at).map_err(failed())?;
            (bytes, at) = (&bytes[before..], first);
        }
        while !bytes.is_empty() {
            let end = window.at + window.filled.end as u64;
            if window.filled.is_empty() || at > end + self.gap as u64 {
                window.write(&self.writer)?;
                window.begin(at);
            }
            let from = (at - window.at) as usize;
            if from >= window.buffer.len() {
                window.advance(&self.writer)?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(window.buffer.len() - from));
            window.buffer[from..from + now.len()].copy_from_slice(now);
            window.filled.end = window.filled.end.max(from + now.len());
            (bytes, at) = (later, at + now.len() as u64);
        }
        Ok(())
    }

    /// Writes what is not written yet.
    pub(crate) fn finish(self) -> Result<()> {
        match self.window {
            Some(window) => window.write(&self.writer),
            None => Ok(()),
        }
    }
}

impl Window {
    fn write(&self, writer: &Writer<&File>) -> Result<()> {
        let at = self.at + self.filled.start as u64;
        writer
            .write_at(&self.buffer[self.filled.clone()], at)
            .map_err(failed())
    }

    /// Lets go of what was written: what comes next comes at `at`.
    fn begin(&mut self, at: u64) {
        self.buffer[self.filled.clone()].fill(0);
        let start = (at % direct::ALIGNMENT as u64) as usize;
        self.at = at - start as u64;
        self.filled = start..start;
    }

    /// Writes the first half and makes room behind the second.
    fn advance(&mut self, writer: &Writer<&File>) -> Result<()> {
        let half = self.buffer.len() / 2;
        let at = self.at + self.filled.start as u64;
        writer
            .write_at(&self.buffer[self.filled.start..half], at)
            .map_err(failed())?;
        self.buffer.copy_within(half.., 0);
        self.buffer[half..].fill(0);
        self.at += half as u64;
        self.filled = 0..self.filled.end - half;
        Ok(())
    }
}

fn failed() -> impl Fn(std::io::Error) -> Error {
    Error::io("write the image")
}

/// Writes all of `bytes` at `at` of a file that no [`Output`] is writing.
pub(crate) fn put(file: &File, bytes: &[u8], at: u64) -> Result<()> {
    Writer::plain(file).write_at(bytes, at).map_err(failed())
}

/// Writes a part of a disk at the beginning of `output`, which must be all hole there. What is a hole stays one.
pub(crate) fn copy(disk: &SparseFile, part: Range<u64>, output: &File) -> Result<()> {
    let is_large = disk.is_large()?;
    let reader = disk.reader()?;
    let writer = match is_large {
        true => Writer::new(output),
        false => Writer::plain(output),
    };
    let mut buffer = Buffer::new(CHUNK);
    for range in disk.data()? {
        let (mut at, end) = (range.start.max(part.start), range.end.min(part.end));
        while at < end {
            let length = (end - at).min(CHUNK as u64) as usize;
            let read = reader
                .read_at(&mut buffer[..length], at)
                .map_err(Error::io("read the image"))?;
            buffer[read..length].fill(0);
            writer
                .write_at(&buffer[..length], at - part.start)
                .map_err(failed())?;
            at += length as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    /// Writes the pieces (place, length) to a file of holes and compares.
    fn check(mut output: Output<'_>, file: &File, pieces: &[(usize, usize)]) {
        let mut expected = vec![0; 6 << 20];
        for (index, (at, length)) in pieces.iter().enumerate() {
            let piece: Vec<u8> = (0..*length).map(|n| (n / 7 + index) as u8 | 1).collect();
            output.put(&piece, *at as u64).unwrap();
            expected[*at..*at + *length].copy_from_slice(&piece);
        }
        output.finish().unwrap();
        let mut read = vec![0; expected.len()];
        let length = file.read_at(&mut read, 0).unwrap();
        assert!(read == expected, "{length} bytes are there");
    }

    #[test]
    fn pieces_come_to_lie_where_they_belong_whatever_came_before() {
        let pieces = [
            (131_072, 60_000),
            // a gap that is filled, then what is before it, then over both
            (196_608, 65_536),
            (191_072, 100),
            (191_000, 6_000),
            (262_144, 3_000_001),
            // far behind, and what was passed long ago
            (5_000_007, 70_001),
            (5_070_008, 1),
            (0, 112),
            (131_000, 500),
            (3_262_000, 300),
            (5_070_009, 500_000),
        ];
        for (is_large, gap) in [(false, 0), (true, 0), (true, GAP)] {
            let file = tempfile::tempfile_in("/var/tmp").unwrap();
            file.set_len(6 << 20).unwrap();
            let output = Output {
                gap,
                ..Output::exact(&file, is_large)
            };
            check(output, &file, &pieces);
        }
    }

    #[test]
    fn what_is_not_put_stays_as_it_is() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.write_all_at(&[9; 100_000], 0).unwrap();
        file.set_len(64 << 20).unwrap();
        let mut output = Output::exact(&file, true);
        for at in [4096, 20_480, 24_576, 50 << 20] {
            output.put(&[1; 4096], at).unwrap();
        }
        output.finish().unwrap();
        let mut read = vec![0; 64 << 20];
        file.read_exact_at(&mut read, 0).unwrap();
        let is_put = |at: usize| [1, 5, 6, 12_800].contains(&(at / 4096));
        let expected = |at: usize| match at {
            _ if is_put(at) => 1,
            at => u8::from(at < 100_000) * 9,
        };
        assert!(read.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
