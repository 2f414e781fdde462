//! Memory that a disk reads into and writes from.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::ALIGNMENT;

/// Bytes at an address that is a multiple of [`ALIGNMENT`], zeros at first. To be made once and used for many transfers.
pub struct Buffer {
    memory: Vec<u8>,
    /// Where the aligned bytes begin.
    start: usize,
    size: usize,
}

impl Buffer {
    /// At least `size` bytes: the next multiple of [`ALIGNMENT`].
    pub fn new(size: usize) -> Self {
        let size = size.next_multiple_of(ALIGNMENT);
        let memory = vec![0; size + ALIGNMENT];
        let start = memory.as_ptr().addr().next_multiple_of(ALIGNMENT) - memory.as_ptr().addr();
        Self { memory, start, size }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.size]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.size]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_whatever_is_asked_for() {
        for size in [1, 4096, 5000, 1 << 20] {
            let mut buffer = Buffer::new(size);
            assert_eq!(buffer.len(), size.next_multiple_of(ALIGNMENT));
            assert!(crate::is_aligned(&buffer));
            buffer[size - 1] = 1;
        }
    }
}
