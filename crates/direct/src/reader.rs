//! Positioned reads.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::{cached, is_aligned, second, whole};

/// Reads a file past the page cache, but for what is there already.
///
/// Threads may share one.
#[derive(Debug)]
pub struct Reader<F> {
    plain: F,
    direct: Option<File>,
}

impl<F: AsFd> Reader<F> {
    /// A file that is open for reading.
    pub fn new(file: F) -> Self {
        Self {
            direct: second::open(&file, OFlags::RDONLY),
            plain: file,
        }
    }

    /// A file that is read the plain way in any case: a small one.
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

    /// Fills `bytes` with what is in the file from `at` on, as far as that goes, and says how far.
    ///
    /// Past the page cache go whole blocks of a [`Buffer`](crate::Buffer) from a multiple of
    /// [`ALIGNMENT`](crate::ALIGNMENT) on, unless at least half of the stretch is cached: then it is sooner copied, and
    /// what was changed there need not go to the disk first.
    ///
    /// # Errors
    /// Of pread(2).
    pub fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(direct) = &self.direct {
            let (rest, at) = (&mut bytes[done..], at + done as u64);
            let length = whole(rest.len());
            if length == 0 || crate::up_to_aligned(at) > 0 || !is_aligned(rest) {
                break;
            }
            if cached(&self.plain, at..at + length as u64) >= length as u64 / 2 {
                break;
            }
            match rustix::io::pread(direct, &mut rest[..length], at) {
                Ok(0) => return Ok(done),
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) if second::is_refusal(error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        while done < bytes.len() {
            match rustix::io::pread(&self.plain, &mut bytes[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{Buffer, Writer};

    fn content(length: usize) -> Vec<u8> {
        (0..length as u64).map(|n| ((n * n) >> 7) as u8).collect()
    }

    /// A file system on a disk, and one in memory.
    const PLACES: [&str; 2] = ["/var/tmp", "/dev/shm"];

    #[test]
    fn what_is_read_is_what_is_there_cached_or_not() {
        for place in PLACES {
            let content = content(3_000_001);
            let file = tempfile::tempfile_in(place).unwrap();
            let mut buffer = Buffer::new(1 << 20);
            let mut head = Buffer::new(content.len());
            head[..content.len()].copy_from_slice(&content);
            Writer::new(&file).write_at(&head[..content.len()], 0).unwrap();
            let reader = Reader::new(&file);
            for round in 0..2 {
                for at in [0, 1 << 20, 2 << 20, 2_998_272, 2_999_000, 3_000_001, 7 << 20, 77] {
                    let read = reader.read_at(&mut buffer, at).unwrap();
                    let wanted = content.get(at as usize..).unwrap_or_default();
                    let wanted = &wanted[..wanted.len().min(1 << 20)];
                    assert!(
                        buffer[..read] == *wanted,
                        "{place}, round {round}: {read} at {at}"
                    );
                    let read = reader.read_at(&mut buffer[..1000], at).unwrap();
                    assert!(buffer[..read] == wanted[..wanted.len().min(1000)]);
                }
                // in the second round it is all cached
                file.read_at(&mut vec![0; 3_000_001], 0).unwrap();
            }
        }
    }

    #[test]
    fn reading_leaves_no_pages_behind() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        let mut buffer = Buffer::new(1 << 20);
        buffer.copy_from_slice(&content(1 << 20));
        let (writer, reader) = (Writer::new(&file), Reader::new(&file));
        if reader.direct.is_none() {
            return println!("skipped: /var/tmp has no O_DIRECT");
        }
        writer.write_at(&buffer, 0).unwrap();
        assert_eq!(reader.read_at(&mut buffer, 0).unwrap(), 1 << 20);
        assert_eq!(cached(&file, 0..1 << 20), 0);
    }

    #[test]
    fn what_was_changed_the_plain_way_is_seen() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        let mut buffer = Buffer::new(1 << 20);
        buffer.fill(1);
        Writer::new(&file).write_at(&buffer, 0).unwrap();
        let reader = Reader::new(&file);
        assert_eq!(reader.read_at(&mut buffer, 0).unwrap(), 1 << 20);
        file.write_all_at(b"changed", 5000).unwrap();
        assert_eq!(reader.read_at(&mut buffer, 0).unwrap(), 1 << 20);
        assert_eq!(buffer[4999..5008], *b"\x01changed\x01");
    }
}
