//! gzip on all processors, as one member whose bytes depend on the input alone.
//!
//! The input is cut into chunks of one size; each is compressed by itself and ends on a byte (a deflate "sync flush"),
//! so that the results simply follow one another.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

const CHUNK: usize = 1 << 20;
/// No time, no name, made on Unix (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

type Compressed = io::Result<(Vec<u8>, Crc)>;

/// A chunk on its way: the content, whether it is the last one, where its result goes.
struct Job {
    input: Vec<u8>,
    last: bool,
    result: SyncSender<Compressed>,
}

/// Has `produce` write into a gzip stream at `out`.
pub fn write<T, E: From<io::Error>>(
    out: &mut dyn Write,
    produce: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(16);
    thread::scope(|scope| {
        let (jobs, queues): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Job>(2)).unzip();
        for queue in queues {
            scope.spawn(move || work(&queue));
        }
        out.write_all(&HEADER)?;
        let mut encoder = Encoder {
            out,
            jobs,
            next: 0,
            pending: VecDeque::new(),
            chunk: Vec::with_capacity(CHUNK),
            crc: Crc::new(),
        };
        let value = produce(&mut encoder)?;
        encoder.finish()?;
        Ok(value)
    })
}

fn work(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        // the other side has gone when writing failed
        job.result.send(compress(&job.input, job.last)).ok();
    }
}

struct Encoder<'a> {
    out: &'a mut dyn Write,
    jobs: Vec<SyncSender<Job>>,
    next: usize,
    /// Results in the order of the input.
    pending: VecDeque<Receiver<Compressed>>,
    chunk: Vec<u8>,
    crc: Crc,
}

impl Encoder<'_> {
    fn send(&mut self, last: bool) -> io::Result<()> {
        while self.pending.len() > 2 * self.jobs.len() {
            self.receive()?;
        }
        let (result, receiver) = sync_channel(1);
        let input = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        let job = Job { input, last, result };
        self.jobs[self.next % self.jobs.len()]
            .send(job)
            .map_err(io::Error::other)?;
        self.next += 1;
        self.pending.push_back(receiver);
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        if let Some(receiver) = self.pending.pop_front() {
            let (bytes, crc) = receiver.recv().map_err(io::Error::other)??;
            self.crc.combine(&crc);
            self.out.write_all(&bytes)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.send(true)?;
        while !self.pending.is_empty() {
            self.receive()?;
        }
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        self.out.flush()
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = buffer.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&buffer[..length]);
        if self.chunk.len() == CHUNK {
            self.send(false)?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compress(input: &[u8], last: bool) -> Compressed {
    let mut crc = Crc::new();
    crc.update(input);
    let mut deflate = Compress::new(Compression::new(6), false);
    let mut output = Vec::with_capacity(input.len() / 2 + 1024);
    let flush = if last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    loop {
        output.reserve(64 * 1024);
        let read = deflate.total_in() as usize;
        let status = deflate
            .compress_vec(&input[read..], &mut output, flush)
            .map_err(io::Error::other)?;
        let all_read = deflate.total_in() as usize == input.len();
        // with room left over a flush has written everything
        if status == Status::StreamEnd || (!last && all_read && output.len() < output.capacity()) {
            return Ok((output, crc));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn any_length_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let input: Vec<u8> = (0..length).map(|i| (i * i / 7) as u8).collect();
            let mut packed = Vec::new();
            write(&mut packed, |out| out.write_all(&input)).unwrap();
            let mut output = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut output).unwrap();
            assert!(input == output, "{length}");
        }
    }
}
