//! Where sgdisk(8) puts partitions: one after the other, each with regard to those before it alone.

use std::ops::Range;

use module::{Context, Result, ensure};

/// Bytes at multiples of which partitions begin.
const ALIGNMENT: u64 = 1 << 20;

/// The sectors that partitions may have, and those they have.
#[derive(Debug)]
pub struct Space {
    usable: Range<u64>,
    taken: Vec<Range<u64>>,
    grain: u64,
}

impl Space {
    /// The sectors `usable`, of `sector` bytes.
    pub fn new(sector: u64, usable: Range<u64>) -> Self {
        Self {
            usable,
            taken: Vec::new(),
            grain: ALIGNMENT / sector,
        }
    }

    /// Takes a place: from `start`, aligned, or in the largest free stretch; `size` sectors from the `start` that was
    /// asked for, or all that is free there.
    pub fn take(&mut self, start: Option<u64>, size: Option<u64>) -> Result<Range<u64>> {
        let wanted = match start {
            Some(start) => start,
            None => self.aligned(self.largest().context("there is no space left on the disk")?),
        };
        let begin = self.aligned(wanted);
        let free = self.free().into_iter().find(|free| free.contains(&begin));
        let free =
            free.with_context(|| format!("sector {begin} is not free, or outside the usable sectors"))?;
        let end = size.map_or(free.end, |size| wanted.saturating_add(size));
        ensure!(
            begin < end && end <= free.end,
            "the sectors {begin} to {end} are not free, or outside the usable ones ({} to {})",
            self.usable.start,
            self.usable.end
        );
        self.taken.push(begin..end);
        Ok(begin..end)
    }

    /// What is free, ascending.
    fn free(&self) -> Vec<Range<u64>> {
        let mut taken = self.taken.clone();
        taken.sort_by_key(|range| range.start);
        let mut free = Vec::new();
        let mut at = self.usable.start;
        for range in taken
            .into_iter()
            .chain(std::iter::once(self.usable.end..self.usable.end))
        {
            if at < range.start {
                free.push(at..range.start);
            }
            at = range.end;
        }
        free
    }

    /// The first sector of the largest free stretch, the first of several.
    fn largest(&self) -> Option<u64> {
        let free = self.free().into_iter().rev();
        free.max_by_key(|range| range.end - range.start)
            .map(|range| range.start)
    }

    /// The aligned sector before `sector`, or else behind it, if all between is free.
    fn aligned(&self, sector: u64) -> u64 {
        let earlier = sector / self.grain * self.grain;
        if earlier == sector {
            return sector;
        }
        let later = earlier + self.grain;
        let is_free = |wanted: Range<u64>| {
            let mut free = self.free().into_iter();
            free.any(|free| free.start <= wanted.start && wanted.end <= free.end)
        };
        if earlier >= self.usable.start && is_free(earlier..sector) {
            earlier
        } else if later < self.usable.end && is_free(sector + 1..later + 1) {
            later
        } else {
            sector
        }
    }
}
