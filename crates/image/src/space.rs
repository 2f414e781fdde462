//! Where partitions come to lie that do not say so themselves.

use std::ops::Range;

use crate::size::MIB;
use crate::{Error, Result};

/// What is said of a partition, in sectors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    pub start: Option<u64>,
    pub size: Option<u64>,
}

/// The sectors that partitions may have.
#[derive(Debug)]
pub struct Space {
    usable: Range<u64>,
    /// Sectors of a whole MiB, at which partitions begin.
    grain: u64,
}

/// The first sector that a new table on a disk of `size` bytes leaves to partitions: at 1 MiB, on disks that are not tiny,
/// as libfdisk has it. In the same steps partitions begin.
pub fn first_usable(size: u64, sector: u64) -> u64 {
    if size > 4 * MIB { MIB / sector } else { 1 }
}

impl Space {
    /// The sectors `usable` of a disk of `size` bytes.
    pub fn new(size: u64, sector: u64, usable: Range<u64>) -> Self {
        Self {
            usable,
            grain: first_usable(size, sector),
        }
    }

    /// A place for each of `wanted`, in their order: those with a start first, since the others take what is free.
    pub fn place(&self, wanted: &[Wanted]) -> Result<Vec<Range<u64>>> {
        let mut taken: Vec<Range<u64>> = Vec::new();
        let starts: Vec<u64> = wanted.iter().filter_map(|wanted| wanted.start).collect();
        let mut places = Vec::new();
        for (index, wanted) in wanted.iter().enumerate() {
            let start = match wanted.start {
                Some(start) => start,
                None => self.first_free(&taken)?,
            };
            // what is free ends where another one begins, said or placed already
            let begins = taken
                .iter()
                .map(|range| range.start)
                .chain(starts.iter().copied());
            let next = begins
                .filter(|begin| *begin > start)
                .min()
                .unwrap_or(self.usable.end);
            let end = match wanted.size {
                Some(size) => start.saturating_add(size),
                None => self.last_end(start, next.min(self.usable.end)),
            };
            if start >= end || end > self.usable.end {
                return Err(Error::unsuitable(format!(
                    "partition {} (sectors {start} to {end}) lies outside the disk",
                    index + 1
                )));
            }
            if let Some(other) = taken
                .iter()
                .position(|other| start < other.end && other.start < end)
            {
                return Err(Error::unsuitable(format!(
                    "partition {} overlaps partition {}",
                    index + 1,
                    other + 1
                )));
            }
            taken.push(start..end);
            places.push(start..end);
        }
        Ok(places)
    }

    /// The first whole MiB behind which something is free.
    fn first_free(&self, taken: &[Range<u64>]) -> Result<u64> {
        let mut start = self.usable.start.next_multiple_of(self.grain);
        while let Some(other) = taken.iter().find(|other| other.contains(&start)) {
            start = other.end.next_multiple_of(self.grain);
        }
        match start < self.usable.end {
            true => Ok(start),
            false => Err(Error::unsuitable("there is no space left on the disk")),
        }
    }

    /// Where a partition ends that takes all there is up to `end`: at a whole MiB too, if anything is left then.
    fn last_end(&self, start: u64, end: u64) -> u64 {
        let whole = end / self.grain * self.grain;
        if whole > start { whole } else { end }
    }
}
