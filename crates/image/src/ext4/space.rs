//! Free blocks, taken in the order they lie in.

use crate::Result;
use crate::ext4::groups::{Bitmap, Volume, set_bits};

/// The free blocks of a file system, from the first to the last. What was passed is not looked at again: nothing is ever
/// given back.
#[derive(Debug)]
pub struct Space {
    group: u32,
    /// Of the group.
    bitmap: Vec<u8>,
    /// The first block of the group that was not looked at.
    next: u64,
    taken_of_group: u32,
    taken: u64,
}

impl Space {
    pub fn of(volume: &Volume<'_>) -> Result<Self> {
        Ok(Self {
            group: 0,
            bitmap: volume.bitmap(Bitmap::Blocks, 0)?,
            next: 0,
            taken_of_group: 0,
            taken: 0,
        })
    }

    /// The next run of free blocks, at most `most` of them; `None` where there is none left. It stays free until some of
    /// it are [taken](Self::take).
    pub fn run(&mut self, volume: &mut Volume<'_>, most: u64) -> Result<Option<(u64, u64)>> {
        loop {
            let end = volume.fs.blocks_of(self.group);
            self.next = find(&self.bitmap, false, self.next, end);
            if self.next < end {
                let length = find(&self.bitmap, true, self.next, end.min(self.next + most)) - self.next;
                return Ok(Some((volume.fs.group_start(self.group) + self.next, length)));
            }
            if self.group + 1 == volume.fs.groups {
                return Ok(None);
            }
            self.leave(volume)?;
            self.group += 1;
            self.next = 0;
            self.bitmap = volume.bitmap(Bitmap::Blocks, self.group)?;
        }
    }

    /// Takes the first `count` blocks of the run.
    pub fn take(&mut self, count: u64) {
        set_bits(&mut self.bitmap, self.next..self.next + count);
        self.next += count;
        self.taken_of_group += count as u32;
        self.taken += count;
    }

    /// Writes what is left to be written, and says how many blocks were taken.
    pub fn finish(mut self, volume: &mut Volume<'_>) -> Result<u64> {
        self.leave(volume)?;
        Ok(self.taken)
    }

    fn leave(&mut self, volume: &mut Volume<'_>) -> Result<()> {
        if self.taken_of_group > 0 {
            volume.write_bitmap(Bitmap::Blocks, self.group, &self.bitmap, self.taken_of_group)?;
            self.taken_of_group = 0;
        }
        Ok(())
    }
}

/// The first bit from `from` on that is `wanted`; `end` where none is.
pub fn find(bitmap: &[u8], wanted: bool, from: u64, end: u64) -> u64 {
    let passed = if wanted { 0 } else { 0xff };
    let mut bit = from;
    while bit < end {
        let byte = bitmap[(bit / 8) as usize];
        if bit.is_multiple_of(8) && byte == passed {
            bit += 8;
        } else if (byte >> (bit % 8) & 1 == 1) == wanted {
            return bit;
        } else {
            bit += 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_across_bytes() {
        let mut bitmap = vec![0; 8];
        set_bits(&mut bitmap, 0..3);
        set_bits(&mut bitmap, 21..45);
        assert_eq!(find(&bitmap, false, 0, 64), 3);
        assert_eq!(find(&bitmap, true, 3, 64), 21);
        assert_eq!(find(&bitmap, false, 21, 64), 45);
        assert_eq!(find(&bitmap, true, 45, 64), 64);
        assert_eq!(find(&bitmap, true, 3, 10), 10);
    }
}
