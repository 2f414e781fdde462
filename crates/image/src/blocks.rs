//! A disk block by block, as image formats keep it: the blocks that hold something, in order.

use std::ops::Range;

use crate::{Result, SparseFile, compress};

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
    /// `pack` made of it on one of the threads, in the disk's order.
    pub(crate) fn each<S, T: Send>(
        &self,
        state: impl Fn() -> Result<S> + Sync,
        pack: impl Fn(&mut S, Vec<u8>) -> Result<T> + Sync,
        mut put: impl FnMut(u64, T) -> Result<()>,
    ) -> Result<()> {
        let numbers = self.numbers()?;
        let batches: Vec<_> = numbers.chunks((BATCH / self.size).max(1) as usize).collect();
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        let packed = |state: &mut S, number: u64| {
            let block = self.read(number)?;
            let empty = block.iter().all(|byte| *byte == 0);
            let packed = (!empty).then(|| pack(state, block)).transpose()?;
            Ok(packed.map(|packed| (number, packed)))
        };
        compress::in_order(
            batches.len(),
            threads,
            state,
            |state, batch| {
                let blocks = batches[batch].iter().map(|number| packed(state, *number));
                blocks.filter_map(Result::transpose).collect::<Result<Vec<_>>>()
            },
            |batch| {
                batch
                    .into_iter()
                    .try_for_each(|(number, packed)| put(number, packed))
            },
        )
    }

    /// The same without packing.
    pub(crate) fn each_plain(&self, put: impl FnMut(u64, Vec<u8>) -> Result<()>) -> Result<()> {
        self.each(|| Ok(()), |(), block| Ok(block), put)
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        let mut block = vec![0; self.size as usize];
        let at = self.part.start + number * self.size;
        let there = (self.part.end - at).min(self.size) as usize;
        self.disk.read(&mut block[..there], at)?;
        Ok(block)
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
