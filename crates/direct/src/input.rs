//! A file from its beginning to its end.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::{Buffer, CHUNK, Reader};

/// Buffers that are read ahead.
const AHEAD: usize = 2;

/// Reads a file on a thread of its own, some buffers ahead of whoever takes the bytes.
#[derive(Debug)]
pub struct Input {
    /// `None` before the first one.
    now: Option<Buffer>,
    /// What of it is still to be taken.
    from: usize,
    end: usize,
    /// `None`: nothing more is wanted.
    ends: Option<Ends>,
    thread: Option<JoinHandle<()>>,
}

/// Full buffers come, and go back empty.
#[derive(Debug)]
struct Ends {
    full: Receiver<io::Result<(Buffer, usize)>>,
    empty: SyncSender<Buffer>,
}

impl Input {
    /// The bytes of the file from `at` on.
    pub fn new(reader: Reader<File>, mut at: u64) -> Self {
        let (sender, full) = sync_channel(AHEAD + 1);
        let (empty, buffers) = sync_channel::<Buffer>(AHEAD + 1);
        for _ in 0..AHEAD {
            empty.send(Buffer::new(CHUNK)).ok();
        }
        let thread = std::thread::spawn(move || {
            for mut buffer in buffers {
                // to the next whole one first, so that the others begin with one
                let most = buffer.len() - (at % buffer.len() as u64) as usize;
                let read = reader.read_at(&mut buffer[..most], at);
                let is_over = !matches!(read, Ok(read) if read > 0);
                at += *read.as_ref().unwrap_or(&0) as u64;
                if sender.send(read.map(|read| (buffer, read))).is_err() || is_over {
                    return;
                }
            }
        });
        Self {
            now: None,
            from: 0,
            end: 0,
            ends: Some(Ends { full, empty }),
            thread: Some(thread),
        }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.from == self.end
            && let Some(Ends { full, empty }) = &self.ends
        {
            (self.from, self.end) = (0, 0);
            if let Some(buffer) = self.now.take() {
                empty.send(buffer).ok();
            }
            match full.recv() {
                Ok(Ok((buffer, read))) if read > 0 => {
                    self.now = Some(buffer);
                    self.end = read;
                }
                // whatever is wrong is the last that comes
                Ok(last) => {
                    self.ends = None;
                    last.map(drop)?;
                }
                Err(_) => {
                    self.ends = None;
                    if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        Ok(self
            .now
            .as_deref()
            .map_or(&[], |buffer| &buffer[self.from..self.end]))
    }

    fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.end);
    }
}

impl Drop for Input {
    /// The file is not in use any more afterwards.
    fn drop(&mut self) {
        self.ends = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::Writer;

    #[test]
    fn all_of_it_comes_from_anywhere_on() {
        let content: Vec<u8> = (0..5_000_001u64).map(|n| ((n * n) >> 5) as u8).collect();
        let mut file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.write_all(&content).unwrap();
        for at in [0, 7, CHUNK as u64, 5_000_000, 5_000_001, 9_000_000] {
            let mut read = Vec::new();
            let mut input = Input::new(Reader::new(file.try_clone().unwrap()), at);
            input.read_to_end(&mut read).unwrap();
            assert!(
                read == content.get(at as usize..).unwrap_or_default(),
                "from {at}"
            );
            assert!(input.fill_buf().unwrap().is_empty());
        }
    }

    #[test]
    fn an_error_comes_where_it_is_and_nothing_behind_it() {
        let directory = File::open("/var/tmp").unwrap();
        let mut input = Input::new(Reader::plain(directory), 0);
        assert!(input.read(&mut [0; 10]).is_err());
        assert_eq!(input.read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn one_that_nobody_reads_to_its_end_is_let_go() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        let mut buffer = Buffer::new(CHUNK);
        buffer.fill(1);
        let writer = Writer::new(&file);
        for number in 0..8 {
            writer.write_at(&buffer, number * CHUNK as u64).unwrap();
        }
        let mut input = Input::new(Reader::new(file.try_clone().unwrap()), 0);
        assert_eq!(input.read(&mut [0; 10]).unwrap(), 10);
    }
}
