//! Positioned writes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::{is_aligned, second, up_to_aligned, whole};

/// Writes a file past the page cache.
///
/// Threads may share one.
#[derive(Debug)]
pub struct Writer<F> {
    plain: F,
    direct: Option<File>,
}

impl<F: AsFd> Writer<F> {
    /// A file that is open for writing, not for appending.
    pub fn new(file: F) -> Self {
        Self {
            direct: second::open(&file, OFlags::WRONLY),
            plain: file,
        }
    }

    /// A file that is written the plain way in any case: a small one.
    pub fn plain(file: F) -> Self {
        Self {
            plain: file,
            direct: None,
        }
    }

    pub fn file(&self) -> &F {
        &self.plain
    }

    pub fn into_file(self) -> F {
        self.plain
    }

    /// Writes all of `bytes` at `at`.
    ///
    /// Past the page cache go the whole blocks at multiples of [`ALIGNMENT`](crate::ALIGNMENT), if they are aligned in
    /// memory too; what is before and behind them goes the plain way.
    ///
    /// # Errors
    /// Of pwrite(2).
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let head = (up_to_aligned(at) as usize).min(bytes.len());
        let length = whole(bytes.len() - head);
        let (head, rest) = bytes.split_at(head);
        let (body, tail) = rest.split_at(length);
        let direct = match &self.direct {
            Some(direct) if !body.is_empty() && is_aligned(body) => direct,
            _ => return self.write_plain(bytes, at),
        };
        self.write_plain(head, at)?;
        let at = at + head.len() as u64;
        let mut done = 0;
        while done < body.len() {
            match rustix::io::pwrite(direct, &body[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                // also what is left behind a write that was cut short within a block
                Err(error) if second::is_refusal(error) => {
                    self.write_plain(&body[done..], at + done as u64)?;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.write_plain(tail, at + length as u64)
    }

    fn write_plain(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.plain, &bytes[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;
    use crate::{Buffer, cached};

    #[test]
    fn pieces_of_any_place_and_length_come_to_lie_where_they_belong() {
        for place in ["/var/tmp", "/dev/shm"] {
            let file = tempfile::tempfile_in(place).unwrap();
            let writer = Writer::new(&file);
            let mut buffer = Buffer::new(1 << 18);
            let mut expected = Vec::new();
            for (index, (at, skip, length)) in [
                (0, 0, 1 << 18),
                (100, 100, 70_000),
                (5000, 904, 90_000),
                (5000, 3, 90_000),
                (1 << 18, 0, 8191),
                (300_000, 0, 0),
                (400_001, 0, 1),
            ]
            .into_iter()
            .enumerate()
            {
                buffer.fill(index as u8 + 1);
                writer.write_at(&buffer[skip..skip + length], at as u64).unwrap();
                if length > 0 {
                    expected.resize(expected.len().max(at + length), 0);
                    expected[at..at + length].fill(index as u8 + 1);
                }
                let mut read = vec![0; 1 << 20];
                let length = file.read_at(&mut read, 0).unwrap();
                assert!(read[..length] == expected, "{place}: {index}");
            }
        }
    }

    #[test]
    fn writing_leaves_no_pages_behind_and_holes_stay_holes() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.set_len(64 << 20).unwrap();
        let writer = Writer::new(&file);
        if writer.direct.is_none() {
            return println!("skipped: /var/tmp has no O_DIRECT");
        }
        let mut buffer = Buffer::new(1 << 20);
        buffer.fill(1);
        writer.write_at(&buffer, 32 << 20).unwrap();
        assert_eq!(cached(&file, 0..64 << 20), 0);
        assert_eq!(file.metadata().unwrap().len(), 64 << 20);
        assert!(file.metadata().unwrap().blocks() * 512 < 8 << 20);
    }

    #[test]
    fn a_full_disk_is_said() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let buffer = Buffer::new(1 << 16);
        let error = Writer::new(full).write_at(&buffer, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
