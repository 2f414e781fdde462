//! Deflate (RFC 1951) on all processors, its bytes a function of the input alone.
//!
//! The input is cut into chunks of one size; each is compressed by itself and ends on a byte (a "sync flush"), so that
//! the results simply follow one another.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// How much is compressed at a time.
pub(crate) const CHUNK: usize = 1 << 20;

type Compressed = io::Result<(Vec<u8>, Crc)>;

/// A chunk on its way: the content, whether it is the last one, where its result goes.
struct Job {
    input: Vec<u8>,
    last: bool,
    result: SyncSender<Compressed>,
}

/// What went in.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) crc: u32,
    pub(crate) bytes: u64,
}

/// Has `produce` write into a deflate stream at `out`; what it returned, and the sum of what it wrote.
pub(crate) fn write<T, E: From<io::Error>>(
    out: &mut dyn Write,
    level: u32,
    produce: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(T, Sum), E> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(16);
    thread::scope(|scope| {
        let (jobs, queues): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Job>(2)).unzip();
        for queue in queues {
            scope.spawn(move || work(&queue, level));
        }
        let mut encoder = Encoder {
            out,
            jobs,
            next: 0,
            pending: VecDeque::new(),
            chunk: Vec::with_capacity(CHUNK),
            crc: Crc::new(),
            bytes: 0,
        };
        let value = produce(&mut encoder)?;
        Ok((value, encoder.finish()?))
    })
}

fn work(queue: &Receiver<Job>, level: u32) {
    while let Ok(job) = queue.recv() {
        // the other side has gone when writing failed
        job.result.send(compress(&job.input, level, job.last)).ok();
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
    bytes: u64,
}

impl Encoder<'_> {
    fn send(&mut self, last: bool) -> io::Result<()> {
        while self.pending.len() > 2 * self.jobs.len() {
            self.receive()?;
        }
        let (result, receiver) = sync_channel(1);
        let input = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.bytes += input.len() as u64;
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

    fn finish(mut self) -> io::Result<Sum> {
        self.send(true)?;
        while !self.pending.is_empty() {
            self.receive()?;
        }
        Ok(Sum {
            crc: self.crc.sum(),
            bytes: self.bytes,
        })
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

    /// Nothing: a flush in between would cut the stream elsewhere.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a chunk by itself: the `last` one ends the stream, others end on a byte.
pub(crate) fn compress(input: &[u8], level: u32, last: bool) -> Compressed {
    let mut crc = Crc::new();
    crc.update(input);
    let mut deflate = Compress::new(Compression::new(level), false);
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
