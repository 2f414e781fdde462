//! Uncompressing several packages at once while one thread writes their files, in a fixed order.
//!
//! ```text
//! packages  0 1 2 3 …
//! workers   take the next package, uncompress it, send it in pieces  ──┐ one bounded queue a package
//! caller    reads package 0 to its end, then 1, then 2 …            ◄──┘
//! ```
//!
//! What is written, and in which order, does not depend on the number of workers. A worker that is far ahead waits; the
//! package the caller reads always has a worker, since workers take packages in that same order.

use std::io::Read;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use module::{Context, Result};

use super::archive::Deb;

/// Size of a piece, in bytes.
const PIECE: usize = 1 << 18;
/// Pieces that may wait in one queue: 16 MiB for each worker.
const QUEUE: usize = 64;
/// More workers than this only wait for the writer.
const MAX_WORKERS: usize = 8;

type Piece = std::io::Result<Vec<u8>>;

/// Calls `each` with the data archive of every package, in the order of `debs`. An error names the package.
pub fn for_each(debs: &[&Deb], mut each: impl FnMut(&mut dyn Read) -> Result<()>) -> Result<()> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_WORKERS);
    let (senders, receivers): (Vec<_>, Vec<_>) = debs.iter().map(|_| sync_channel(QUEUE)).unzip();
    let jobs = Mutex::new(debs.iter().copied().zip(senders));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&jobs));
        }
        // a queue that is dropped early, after an error, makes its worker stop
        debs.iter().copied().zip(receivers).try_for_each(|(deb, pieces)| {
            each(&mut Pieces::new(pieces)).with_context(|| format!("package {}", deb.label()))
        })
    })
}

fn work<'d>(jobs: &Mutex<impl Iterator<Item = (&'d Deb, SyncSender<Piece>)>>) {
    loop {
        let job = jobs.lock().map(|mut jobs| jobs.next());
        let Ok(Some((deb, queue))) = job else { return };
        if let Err(error) = send(deb, &queue) {
            queue.send(Err(error)).ok();
        }
    }
}

fn send(deb: &Deb, queue: &SyncSender<Piece>) -> std::io::Result<()> {
    let mut stream = deb.data().map_err(std::io::Error::other)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        stream.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() || queue.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}

/// The pieces of one package as a stream.
struct Pieces {
    queue: Receiver<Piece>,
    piece: std::io::Cursor<Vec<u8>>,
}

impl Pieces {
    fn new(queue: Receiver<Piece>) -> Self {
        Self {
            queue,
            piece: Default::default(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.piece.read(buffer)? {
                0 if !buffer.is_empty() => match self.queue.recv() {
                    Ok(piece) => self.piece = std::io::Cursor::new(piece?),
                    Err(_) => return Ok(0),
                },
                n => return Ok(n),
            }
        }
    }
}
