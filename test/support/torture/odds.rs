//! Random numbers that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A sequence decided by its seed (xorshift64*).
#[derive(Debug, Clone)]
pub struct Odds(u64);

impl Odds {
    pub fn new(seed: u64) -> Self {
        // zero would stay zero
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Of another seed each time.
    pub fn of_now() -> (u64, Self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = now.map_or(1, |now| now.as_nanos() as u64 & 0xffff_ffff);
        (seed, Self::new(seed))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end.max(1)
    }

    /// A time shorter than `end`.
    pub fn time(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(end.as_micros() as u64))
    }

    /// One of `all`, which is not empty.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}
