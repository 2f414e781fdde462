//! gzip, as one member whose bytes depend on the input and the level alone.

use std::io::{self, Write};

use crate::deflate;

/// No time, no name, made on Unix; `level` tells which of the extreme ones it was (RFC 1952, 2.3).
fn header(level: u32) -> [u8; 10] {
    let extra = match level {
        1 => 4,
        9 => 2,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra, 3]
}

/// Has `produce` write into a gzip stream at `out`, compressed at a level from 1 to 9.
pub(crate) fn write<T, E: From<io::Error>>(
    out: &mut dyn Write,
    level: u32,
    produce: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    out.write_all(&header(level))?;
    let (value, sum) = deflate::write(out, level, produce)?;
    out.write_all(&sum.crc.to_le_bytes())?;
    // the length modulo 2³²
    out.write_all(&(sum.bytes as u32).to_le_bytes())?;
    out.flush()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::CHUNK;
    use std::io::Read;

    #[test]
    fn any_length_comes_back_from_any_level() {
        for (length, level) in [
            (0, 6),
            (1, 1),
            (CHUNK - 1, 1),
            (CHUNK, 6),
            (CHUNK + 1, 9),
            (3 * CHUNK + 17, 2),
        ] {
            let input: Vec<u8> = (0..length).map(|i| (i * i / 7) as u8).collect();
            let mut packed = Vec::new();
            write(&mut packed, level, |out| out.write_all(&input)).unwrap();
            let mut output = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut output).unwrap();
            assert!(input == output, "{length}");
        }
    }
}
