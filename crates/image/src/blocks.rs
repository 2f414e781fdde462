//! A disk block by block, as image formats keep it: the blocks that hold something, in order.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use direct::Buffer;

use crate::{Error, Result, SparseFile, compress};

/// Bytes a thread reads and packs at a time, so that handing over costs little.
const BATCH: u64 = 1 << 20;

/// The part of a disk that is written, and how.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<'a> {
    pub(crate) disk: &'a SparseFile,
    /// In bytes; begins at a multiple of the block size.
    pub(crate) part: Range<u64>,
    /// Bytes of a block. The last one is filled up with zeros.
    pub(crate) size: u64,
    /// 0: as many as there are cores.
    pub(crate) threads: usize,
}

/// A thread's own.
struct Own<S> {
    state: S,
    buffer: Buffer,
}

/// What became of some blocks, one behind the other, and for each its number, what was said of it and where it is.
struct Packed<T> {
    bytes: Vec<u8>,
    blocks: Vec<(u64, T, Range<usize>)>,
}

impl<'a> Blocks<'a> {
    /// All of a disk.
    pub(crate) fn of(disk: &'a SparseFile, size: u64, threads: usize) -> Self {
        Self {
            part: 0..disk.size(),
            disk,
            size,
            threads,
        }
    }

    /// Calls `put` with the number of each block that is not all zeros, counted from the part's beginning, and what
    /// `pack` made of it on one of the threads, in the disk's order: the bytes it appended and what it said of them.
    pub(crate) fn each<S, T: Send>(
        &self,
        state: impl Fn() -> Result<S> + Sync,
        pack: impl Fn(&mut S, &[u8], &mut Vec<u8>) -> Result<T> + Sync,
        mut put: impl FnMut(u64, T, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let numbers = self.numbers()?;
        let batches: Vec<_> = numbers.chunks((BATCH / self.size).max(1) as usize).collect();
        let threads = match self.threads {
            // one more than there are cores has work for them while another one waits for the disk
            0 => {
                std::thread::available_parallelism().map_or(1, usize::from)
                    + usize::from(self.disk.is_large()?)
            }
            given => given,
        };
        let reader = self.disk.reader()?;
        // memory that was used before is there already: fresh memory costs more than what is done with it
        let used = Mutex::new(Vec::<Vec<u8>>::new());
        let used = || used.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.size.max(BATCH) as usize;
        compress::in_order(
            batches.len(),
            threads,
            || {
                Ok(Own {
                    state: state()?,
                    buffer: Buffer::new(size),
                })
            },
            |own, batch| {
                let bytes = used().pop();
                let mut packed = Packed {
                    bytes: bytes.unwrap_or_else(|| Vec::with_capacity(size)),
                    blocks: Vec::new(),
                };
                for run in batches[batch].chunk_by(|one, next| one + 1 == *next) {
                    let blocks = self.read(&reader, run, &mut own.buffer)?;
                    for (number, block) in run.iter().zip(blocks.chunks(self.size as usize)) {
                        if block.iter().all(|byte| *byte == 0) {
                            continue;
                        }
                        let from = packed.bytes.len();
                        let said = pack(&mut own.state, block, &mut packed.bytes)?;
                        packed.blocks.push((*number, said, from..packed.bytes.len()));
                    }
                }
                Ok(packed)
            },
            |Packed { mut bytes, blocks }| {
                for (number, said, range) in blocks {
                    put(number, said, &bytes[range])?;
                }
                bytes.clear();
                used().push(bytes);
                Ok(())
            },
        )
    }

    /// The same without packing.
    pub(crate) fn each_plain(&self, mut put: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let copy = |(): &mut (), block: &[u8], bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(block);
            Ok(())
        };
        self.each(|| Ok(()), copy, |number, (), block| put(number, block))
    }

    /// Reads blocks that lie one behind the other.
    fn read<'b>(
        &self,
        reader: &direct::Reader<impl std::os::fd::AsFd>,
        run: &[u64],
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8]> {
        let Some(first) = run.first() else {
            return Ok(&[]);
        };
        let blocks = &mut buffer[..run.len() * self.size as usize];
        let at = self.part.start + first * self.size;
        let there = (self.part.end - at).min(blocks.len() as u64) as usize;
        let read = reader
            .read_at(&mut blocks[..there], at)
            .map_err(Error::io("read the image"))?;
        blocks[read..].fill(0);
        Ok(blocks)
    }

    /// The numbers of the blocks that are not wholly in a hole, ascending.
    fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = Vec::new();
        for range in self.disk.data()? {
            let (start, end) = (range.start.max(self.part.start), range.end.min(self.part.end));
            if start >= end {
                continue;
            }
            let (start, end) = (start - self.part.start, end - self.part.start);
            let next = numbers.last().map_or(0, |last| last + 1);
            numbers.extend((start / self.size).max(next)..end.div_ceil(self.size));
        }
        Ok(numbers)
    }
}
