//! Writing on a thread of its own.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::{Buffer, Writer};

/// A buffer, how much of it is to be written, and where.
type Work = (Buffer, usize, u64);

/// Writes full buffers in order while the next one is being filled: a transfer past the page cache ends with the disk's, which
/// whoever makes the bytes need not wait for.
#[derive(Debug)]
pub struct Behind {
    /// `None`: no more comes.
    full: Option<SyncSender<Work>>,
    empty: Receiver<Buffer>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Behind {
    /// With this many buffers of `size` bytes on their way.
    pub fn new(writer: Writer<File>, buffers: usize, size: usize) -> Self {
        let (full, work) = sync_channel::<Work>(buffers);
        let (returned, empty) = sync_channel(buffers);
        for _ in 0..buffers {
            returned.send(Buffer::new(size)).ok();
        }
        let thread = std::thread::spawn(move || {
            for (buffer, length, at) in work {
                writer.write_at(&buffer[..length], at)?;
                // whoever fills them may have given up
                returned.send(buffer).ok();
            }
            Ok(())
        });
        Self {
            full: Some(full),
            empty,
            thread: Some(thread),
        }
    }

    /// Writes the first `length` bytes of `buffer` at `at`, soon, and puts another one in its place, with anything in it.
    ///
    /// # Errors
    /// Of an earlier write; nothing is written any more then.
    pub fn write(&mut self, buffer: &mut Buffer, length: usize, at: u64) -> io::Result<()> {
        // the one that is free comes before the one that it is given for, so that there is one more than are on their way
        if let (Some(full), Ok(free)) = (&self.full, self.empty.recv()) {
            let work = (std::mem::replace(buffer, free), length, at);
            if full.send(work).is_ok() {
                return Ok(());
            }
        }
        self.wait()?;
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Of a write.
    pub fn finish(mut self) -> io::Result<()> {
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Behind {
    /// Nothing is written any more behind the back of whoever gave up.
    fn drop(&mut self) {
        self.full = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::CHUNK;

    #[test]
    fn everything_is_there_at_the_end() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        let mut behind = Behind::new(Writer::new(file.try_clone().unwrap()), 2, CHUNK);
        let mut buffer = Buffer::new(CHUNK);
        for number in 0..9 {
            buffer.fill(number);
            behind
                .write(&mut buffer, CHUNK - 1, u64::from(number) * (CHUNK as u64 - 1))
                .unwrap();
        }
        behind.finish().unwrap();
        let mut read = vec![0; 9 * (CHUNK - 1)];
        file.read_exact_at(&mut read, 0).unwrap();
        let expected = (0..9).flat_map(|number| vec![number; CHUNK - 1]);
        assert!(read.into_iter().eq(expected));
    }

    #[test]
    fn a_failure_is_said_sooner_or_later() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(Writer::new(full), 1, CHUNK);
        let mut buffer = Buffer::new(CHUNK);
        let error = loop {
            if let Err(error) = behind.write(&mut buffer, CHUNK, 0) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
