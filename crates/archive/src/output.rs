//! Files written in pieces that the page cache has room for.

use std::io::{self, BufWriter, Write};

/// Bytes written at a time. For a longer write the page cache looks for as long a piece of memory, and that is most often one
/// that was not in use: a virtual machine may have to get it from its host first.
pub(crate) const PIECE: usize = 64 * 1024;

/// What small writes to a file are gathered by.
pub(crate) fn buffered<W: Write>(file: W) -> BufWriter<Pieces<W>> {
    BufWriter::with_capacity(PIECE, Pieces(file))
}

/// Takes no more than [`PIECE`] at a time: large writes are not gathered.
#[derive(Debug)]
pub(crate) struct Pieces<W>(W);

impl<W: Write> Write for Pieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(PIECE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_written_and_never_much_at_a_time() {
        struct Longest(Vec<u8>, usize);
        impl Write for Longest {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = self.1.max(bytes.len());
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let content: Vec<u8> = (0..300_000u32).map(|n| (n >> 3) as u8).collect();
        for size in [1000, 70_000, 300_000] {
            let mut file = Longest(Vec::new(), 0);
            let mut out = buffered(&mut file);
            content
                .chunks(size)
                .for_each(|chunk| out.write_all(chunk).unwrap());
            out.flush().unwrap();
            drop(out);
            assert!(file.0 == content && file.1 <= PIECE, "{}", file.1);
        }
    }
}
