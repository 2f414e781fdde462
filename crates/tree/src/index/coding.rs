//! Numbers and texts as an index has them in its bytes.
//!
//! Numbers are unsigned LEB128 without needless bytes; a text is its length and its bytes.

use std::io::{Error, ErrorKind, Result};

/// Appends a number.
pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text.
pub(super) fn put_text(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seconds before 1970 are negative: small ones of both signs become small numbers.
pub(super) fn zigzag(seconds: i64) -> u64 {
    ((seconds << 1) ^ (seconds >> 63)) as u64
}

/// What [`zigzag`] was given.
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cold]
pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Bytes that are still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest<'b>(pub(super) &'b [u8]);

impl<'b> Rest<'b> {
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        match self.0.split_at_checked(length) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => Err(cut_short()),
        }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8> {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                Ok(*byte)
            }
            None => Err(cut_short()),
        }
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<u64> {
        match self.0.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64> {
        let mut value = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                // a zero at the end says nothing, and the tenth byte has room for one bit
                if (*byte == 0 && at > 0) || (at == 9 && *byte > 1) {
                    return Err(damaged("an index that is written in another way"));
                }
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        match self.0.len() {
            0..10 => Err(cut_short()),
            _ => Err(damaged("a number without an end in an index")),
        }
    }

    /// Passes over a number that was looked at before.
    #[inline]
    pub(super) fn skip_number(&mut self) -> Result<()> {
        match self.0.iter().position(|byte| *byte < 0x80) {
            Some(last) => {
                self.0 = &self.0[last + 1..];
                Ok(())
            }
            None => Err(cut_short()),
        }
    }

    #[inline]
    pub(super) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| damaged("a number too large in an index"))
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

#[cold]
fn cut_short() -> Error {
    damaged("an index cut short")
}
