//! Writes that fail half-way.

use std::io::{Result, Write};

use crate::Fail;
use crate::order::{How, count, die};

/// Writes to what it goes around; each call is a step.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    place: &'static str,
}

impl<W: Write> Writer<W> {
    pub fn new(to: W, place: &'static str) -> Self {
        Self { to, place }
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(how) = count(self.place, true) else {
            return self.to.write(bytes);
        };
        if how == How::Errno(rustix::io::Errno::INTR) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let half = self.to.write(&bytes[..bytes.len().div_ceil(2)])?;
        match how {
            How::Errno(number) => Err(Fail::of(number.raw_os_error())),
            How::Short => Ok(half),
            How::Kill => {
                self.to.flush()?;
                die()
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}
