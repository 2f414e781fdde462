//! The output: bits, the lowest first.

/// Bytes that may be written beyond what was announced: a block's header, and the word of which only the first bytes count.
const SLACK: usize = 1024;

/// Bits on their way into a buffer.
#[derive(Debug)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Whole bytes written.
    at: usize,
    pending: u64,
    count: u32,
}

impl Bits {
    /// Room for `size` bytes and a header.
    pub(super) fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size + SLACK],
            at: 0,
            pending: 0,
            count: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        (self.at, self.pending, self.count) = (0, 0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Takes up the lowest `count` bits of `value`, the others being 0. Between two [`Self::flush`]es there is room for 57.
    #[inline(always)]
    pub(super) fn add(&mut self, value: u32, count: u8) {
        self.pending |= u64::from(value) << self.count;
        self.count += u32::from(count);
    }

    /// Writes the whole bytes.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&self.pending.to_le_bytes());
        self.at += (self.count >> 3) as usize;
        self.pending >>= self.count & !7;
        self.count &= 7;
    }

    /// All that was written; the last byte is filled up with zeros.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.flush();
        &self.bytes[..self.at + usize::from(self.count > 0)]
    }
}
