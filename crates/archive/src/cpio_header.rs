//! Headers of cpio members, written and read again.
//!
//! ```text
//! newc, crc  "070701", "070702"  13 numbers of 8 hexadecimal digits     name and content padded to 4 bytes
//! odc        "070707"            octal digits: 8 of 6, 11, 6, 11        no padding
//! bin        070707 as a number  13 little-endian numbers of 16 bits    padded to 2 bytes
//! ```
//!
//! (cpio(5) of FreeBSD; Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.)

use std::io::{self, Read, Write};

use crate::{Error, Result};

/// The formats that are cpio's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Bin,
    Odc,
    Newc,
    Crc,
}

/// The name of the last member.
pub(crate) const TRAILER: &[u8] = b"TRAILER!!!";
/// The old binary magic.
const BINARY: u16 = 0o070707;

/// What a header says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields {
    pub(crate) dev: (u32, u32),
    pub(crate) ino: u64,
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u64,
    pub(crate) rdev: (u32, u32),
    pub(crate) mtime: u64,
    pub(crate) size: u64,
    /// The sum of the content's bytes, where the format has one.
    pub(crate) sum: u32,
}

impl Layout {
    /// What names and content are padded to.
    pub(crate) fn unit(self) -> u64 {
        match self {
            Self::Newc | Self::Crc => 4,
            Self::Odc => 1,
            Self::Bin => 2,
        }
    }

    /// The bytes of a header with its name, padded.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] where the format has no room for a number.
    pub(crate) fn encode(self, fields: &Fields, name: &[u8]) -> Result<Vec<u8>> {
        let namesize = name.len() as u64 + 1;
        let mut bytes = match self {
            Self::Newc | Self::Crc => self.newc(fields, namesize)?,
            Self::Odc => odc(fields, namesize)?,
            Self::Bin => bin(fields, namesize)?,
        };
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(self.unit() as usize), 0);
        Ok(bytes)
    }

    fn newc(self, fields: &Fields, namesize: u64) -> Result<Vec<u8>> {
        let mut text = if self == Self::Crc { "070702" } else { "070701" }.to_owned();
        for number in [
            // inodes are told apart as well as 32 bits can
            fields.ino & 0xffff_ffff,
            fields.mode.into(),
            fields.uid.into(),
            fields.gid.into(),
            fields.nlink,
            fields.mtime,
            fields.size,
            fields.dev.0.into(),
            fields.dev.1.into(),
            fields.rdev.0.into(),
            fields.rdev.1.into(),
            namesize,
            fields.sum.into(),
        ] {
            let digits = format!("{number:08X}");
            if digits.len() > 8 {
                return too_large(number);
            }
            text.push_str(&digits);
        }
        Ok(text.into_bytes())
    }

    /// Reads a header and its name; how many bytes they were.
    pub(crate) fn decode(self, from: &mut impl Read) -> Result<(Fields, Vec<u8>, u64)> {
        let (fields, namesize, header) = match self {
            Self::Newc | Self::Crc => decode_newc(self, from)?,
            Self::Odc => decode_odc(from)?,
            Self::Bin => decode_bin(from)?,
        };
        if namesize > 1 << 16 {
            return Err(other_format());
        }
        let padded = (header + namesize).next_multiple_of(self.unit());
        let mut name = vec![0; (padded - header) as usize];
        from.read_exact(&mut name)?;
        name.truncate(namesize.saturating_sub(1) as usize);
        Ok((fields, name, padded))
    }
}

fn odc(fields: &Fields, namesize: u64) -> Result<Vec<u8>> {
    let mut text = "070707".to_owned();
    for (number, width) in [
        (packed(fields.dev) & 0o777_777, 6),
        (fields.ino & 0o777_777, 6),
        (fields.mode.into(), 6),
        (fields.uid.into(), 6),
        (fields.gid.into(), 6),
        (fields.nlink, 6),
        (packed(fields.rdev), 6),
        (fields.mtime, 11),
        (namesize, 6),
        (fields.size, 11),
    ] {
        let digits = format!("{number:0width$o}");
        if digits.len() > width {
            return too_large(number);
        }
        text.push_str(&digits);
    }
    Ok(text.into_bytes())
}

fn bin(fields: &Fields, namesize: u64) -> Result<Vec<u8>> {
    let halves = |number: u64| match u32::try_from(number) {
        // the upper half comes first
        Ok(number) => Ok([u64::from(number >> 16), u64::from(number & 0xffff)]),
        Err(_) => too_large(number),
    };
    let (mtime, size) = (halves(fields.mtime)?, halves(fields.size)?);
    let mut bytes = Vec::new();
    for number in [
        BINARY.into(),
        packed(fields.dev) & 0xffff,
        fields.ino & 0xffff,
        fields.mode.into(),
        fields.uid.into(),
        fields.gid.into(),
        fields.nlink,
        packed(fields.rdev),
        mtime[0],
        mtime[1],
        namesize,
        size[0],
        size[1],
    ] {
        match u16::try_from(number) {
            Ok(number) => bytes.extend_from_slice(&number.to_le_bytes()),
            Err(_) => return too_large(number),
        }
    }
    Ok(bytes)
}

/// Device numbers as one, as old kernels had them.
fn packed(device: (u32, u32)) -> u64 {
    u64::from(device.0) << 8 | u64::from(device.1)
}

fn too_large<T>(number: u64) -> Result<T> {
    Error::unsuitable(format!("the format has no room for the number {number}"))
}

fn decode_newc(layout: Layout, from: &mut impl Read) -> Result<(Fields, u64, u64)> {
    let mut header = [0; 110];
    from.read_exact(&mut header)?;
    let magic = if layout == Layout::Crc {
        b"070702"
    } else {
        b"070701"
    };
    if header[..6] != *magic {
        return Err(other_format());
    }
    let number = |index: usize| number(&header[6 + 8 * index..14 + 8 * index], 16);
    let fields = Fields {
        ino: number(0)?,
        size: number(6)?,
        ..Fields::default()
    };
    Ok((fields, number(11)?, 110))
}

fn decode_odc(from: &mut impl Read) -> Result<(Fields, u64, u64)> {
    let mut header = [0; 76];
    from.read_exact(&mut header)?;
    if header[..6] != *b"070707" {
        return Err(other_format());
    }
    let fields = Fields {
        ino: number(&header[12..18], 8)?,
        size: number(&header[65..76], 8)?,
        ..Fields::default()
    };
    Ok((fields, number(&header[59..65], 8)?, 76))
}

fn decode_bin(from: &mut impl Read) -> Result<(Fields, u64, u64)> {
    let mut header = [0; 26];
    from.read_exact(&mut header)?;
    let number = |index: usize| u64::from(u16::from_le_bytes([header[2 * index], header[2 * index + 1]]));
    if number(0) != u64::from(BINARY) {
        return Err(other_format());
    }
    let fields = Fields {
        ino: number(2),
        size: number(11) << 16 | number(12),
        ..Fields::default()
    };
    Ok((fields, number(10), 26))
}

fn number(digits: &[u8], radix: u32) -> Result<u64> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, radix).ok())
        .ok_or_else(other_format)
}

fn other_format() -> Error {
    Error::Unsuitable("what is appended to is no archive of this format".into())
}

/// Writes zeros from `at` to a whole number of `unit`.
pub(crate) fn pad(at: u64, unit: u64, out: &mut dyn Write) -> io::Result<u64> {
    let zeros = at.next_multiple_of(unit) - at;
    out.write_all(&vec![0; zeros as usize])?;
    Ok(zeros)
}
