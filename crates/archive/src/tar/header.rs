//! Headers of members: 512 bytes, and before them what they have no room for.
//!
//! Offsets are those of ustar (POSIX.1-2001, pax, "ustar Interchange Format"), for the formats of GNU tar those of its
//! manual, "Basic Tar Format".

use std::io::{self, Write};

use crate::{Error, Result};

/// The formats of an archive, by their names in GNU tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// ustar, with a pax header before members that it cannot hold (POSIX.1-2001).
    #[default]
    Posix,
    /// GNU's, and what it was before version 1.13: long names as members of their own, large numbers in binary.
    Gnu,
    /// POSIX.1-1988: names to 256 bytes, files to 8 GiB, no attributes.
    Ustar,
    /// Unix's version 7: files, directories and links with names to 99 bytes.
    V7,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// What stands in the headers of a member.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    pub(crate) kind: Kind,
    /// With a slash at the end of a directory.
    pub(crate) name: &'a [u8],
    /// The target of a symbolic link, or the member a hard link is another name of.
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The owner's name.
    pub(crate) user: &'a str,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Bytes that follow the header.
    pub(crate) size: u64,
    /// Major and minor number of a device.
    pub(crate) device: Option<(u32, u32)>,
    /// Further pax records, such as `SCHILY.xattr.user.x`.
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
    /// The ranges of a sparse file, and its real size, where the format has them in the header.
    pub(crate) sparse: Option<(Vec<(u64, u64)>, u64)>,
}

/// Size of a block: headers are one, content is padded to one.
pub(crate) const BLOCK: usize = 512;
const NAME: usize = 100;
const PREFIX: usize = 155;
/// The largest numbers that ustar's octal fields hold.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;
/// Ranges in the header of a sparse file, and in each block after it.
const RANGES: usize = 4;
const MORE_RANGES: usize = 21;

impl Member<'_> {
    /// Writes the headers; the content is the caller's.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] where the format cannot hold the member.
    pub(crate) fn write(self, format: Format, out: &mut dyn Write) -> Result<()> {
        match format {
            Format::Posix => Ok(self.write_posix(out)?),
            Format::Gnu => Ok(self.write_gnu(out)?),
            Format::Ustar | Format::V7 => self.write_plain(format, out),
        }
    }

    fn write_posix(mut self, out: &mut dyn Write) -> io::Result<()> {
        let records = self.all_records();
        if !records.is_empty() {
            let body: Vec<u8> = records
                .iter()
                .flat_map(|(key, value)| super::pax::record(key, value))
                .collect();
            let mut header = Block::new(b'x', b"PaxHeaders");
            header.octal(100, 8, 0o644);
            header.octal(108, 8, 0);
            header.octal(116, 8, 0);
            header.octal(124, 12, body.len() as u64);
            header.octal(136, 12, self.mtime.clamp(0, MAX_SIZE as i64) as u64);
            header.ustar();
            header.finish(out)?;
            out.write_all(&body)?;
            pad(body.len() as u64, out)?;
        }
        let mut header = self.common();
        header.octal(108, 8, self.uid.min(MAX_ID).into());
        header.octal(116, 8, self.gid.min(MAX_ID).into());
        header.octal(124, 12, self.size.min(MAX_SIZE));
        header.octal(136, 12, self.mtime.clamp(0, MAX_SIZE as i64) as u64);
        header.ustar();
        header.finish(out)
    }

    /// The records of what ustar cannot hold, then the further ones.
    fn all_records(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |key: &str, value: Vec<u8>| records.push((key.as_bytes().to_vec(), value));
        if self.name.len() > NAME {
            add("path", self.name.to_vec());
        }
        if self.link.len() > NAME {
            add("linkpath", self.link.to_vec());
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > MAX_ID {
                add(key, id.to_string().into_bytes());
            }
        }
        if self.size > MAX_SIZE {
            add("size", self.size.to_string().into_bytes());
        }
        if self.mtime < 0 || self.mtime as u64 > MAX_SIZE {
            add("mtime", self.mtime.to_string().into_bytes());
        }
        records.append(&mut self.records);
        records
    }

    fn write_gnu(self, out: &mut dyn Write) -> io::Result<()> {
        // the link's name comes first, as from GNU tar
        for (flag, text) in [(b'K', self.link), (b'L', self.name)] {
            if text.len() > NAME {
                let mut header = Block::new(flag, b"././@LongLink");
                for field in [100, 108, 116] {
                    header.octal(field, 8, 0);
                }
                header.octal(124, 12, text.len() as u64 + 1);
                header.octal(136, 12, 0);
                header.gnu();
                header.finish(out)?;
                out.write_all(text)?;
                out.write_all(&[0])?;
                pad(text.len() as u64 + 1, out)?;
            }
        }
        let mut header = self.common();
        header.number(108, 8, self.uid.into());
        header.number(116, 8, self.gid.into());
        header.number(124, 12, self.size.cast_signed());
        header.number(136, 12, self.mtime);
        header.gnu();
        let Some((ranges, size)) = &self.sparse else {
            return header.finish(out);
        };
        header.0[156] = b'S';
        let (first, rest) = ranges.split_at(ranges.len().min(RANGES));
        header.ranges(386, first);
        header.0[482] = u8::from(!rest.is_empty());
        header.number(483, 12, size.cast_signed());
        header.finish(out)?;
        let mut blocks = rest.chunks(MORE_RANGES).peekable();
        while let Some(ranges) = blocks.next() {
            let mut block = Block([0; BLOCK]);
            block.ranges(0, ranges);
            block.0[504] = u8::from(blocks.peek().is_some());
            out.write_all(&block.0)?;
        }
        Ok(())
    }

    /// ustar and version 7: what they cannot hold they cannot hold.
    fn write_plain(self, format: Format, out: &mut dyn Write) -> Result<()> {
        let cannot = |what: &str| {
            let name = String::from_utf8_lossy(self.name);
            Error::unsuitable(format!("{name}: the format cannot hold {what}"))
        };
        let v7 = format == Format::V7;
        let (prefix, name) = match self.name {
            name if v7 && name.len() < NAME => (&b""[..], name),
            name if !v7 => match split(name) {
                Some(parts) => parts,
                None => return cannot("a name of this length"),
            },
            _ => return cannot("a name of this length"),
        };
        if self.link.len() > NAME {
            return cannot("the target of this link");
        }
        if v7 && (self.device.is_some() || self.kind == Kind::Fifo) {
            return cannot("what is no file, directory or link");
        }
        if self.uid.max(self.gid) > MAX_ID {
            return cannot("its owner");
        }
        if self.size > MAX_SIZE {
            return cannot("8 GiB or more");
        }
        if self.mtime < 0 || self.mtime as u64 > MAX_SIZE {
            return cannot("its time");
        }
        let mut header = Self { name, ..self.clone() }.common();
        header.octal(108, 8, self.uid.into());
        header.octal(116, 8, self.gid.into());
        header.octal(124, 12, self.size);
        header.octal(136, 12, self.mtime as u64);
        if v7 {
            header.0[156] = match self.kind {
                Kind::File => 0,
                // a directory has its slash as well, but not every reader looks at it
                other => other.flag(),
            };
            header.0[265..297].fill(0);
        } else {
            header.ustar();
            header.bytes(345, PREFIX, prefix);
        }
        Ok(header.finish(out)?)
    }

    /// What all formats have: names as far as they fit, mode, device, owner's name.
    fn common(&self) -> Block {
        let mut header = Block::new(self.kind.flag(), self.name);
        header.octal(100, 8, (self.mode & 0o7777).into());
        header.bytes(157, NAME, self.link);
        header.bytes(265, 31, self.user.as_bytes());
        if let Some((major, minor)) = self.device {
            header.number(329, 8, major.into());
            header.number(337, 8, minor.into());
        }
        header
    }
}

/// A header under construction.
struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8, name: &[u8]) -> Self {
        let mut block = Self([0; BLOCK]);
        block.0[156] = flag;
        block.bytes(0, NAME, name);
        block
    }

    fn bytes(&mut self, at: usize, room: usize, bytes: &[u8]) {
        let length = bytes.len().min(room);
        self.0[at..at + length].copy_from_slice(&bytes[..length]);
    }

    /// Octal digits and a NUL.
    fn octal(&mut self, at: usize, width: usize, value: u64) {
        let digits = format!("{value:0width$o}", width = width - 1);
        self.bytes(at, width - 1, digits.as_bytes());
    }

    /// Octal digits where they have room, else GNU's binary form: two's complement behind a byte with its top bit set.
    fn number(&mut self, at: usize, width: usize, value: i64) {
        let room = 3 * (width as u32 - 1);
        if value >= 0 && (value as u64) >> room == 0 {
            return self.octal(at, width, value as u64);
        }
        let sign = if value < 0 { 0xff } else { 0 };
        self.0[at..at + width].fill(sign);
        let bytes = value.to_be_bytes();
        let length = bytes.len().min(width - 1);
        self.0[at + width - length..at + width].copy_from_slice(&bytes[bytes.len() - length..]);
        self.0[at] |= 0x80;
    }

    fn ranges(&mut self, at: usize, ranges: &[(u64, u64)]) {
        for (index, (offset, length)) in ranges.iter().enumerate() {
            self.number(at + 24 * index, 12, offset.cast_signed());
            self.number(at + 24 * index + 12, 12, length.cast_signed());
        }
    }

    fn ustar(&mut self) {
        self.bytes(257, 8, b"ustar\x0000");
    }

    fn gnu(&mut self) {
        self.bytes(257, 8, b"ustar  \0");
    }

    /// Writes it with its checksum, in which the checksum itself counts as spaces.
    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.bytes(148, 7, format!("{sum:06o}\0").as_bytes());
        out.write_all(&self.0)
    }
}

/// A name as ustar has it: what stands before a slash, and what stands after it.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME {
        return Some((b"", name));
    }
    let at = (name.len() - NAME - 1..name.len() - 1).find(|at| name[*at] == b'/')?;
    (at <= PREFIX && at > 0).then(|| (&name[..at], &name[at + 1..]))
}

/// Writes zeros from `size` bytes of content to the end of the block.
pub(crate) fn pad(size: u64, out: &mut dyn Write) -> io::Result<()> {
    let rest = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    out.write_all(&[0; BLOCK][..rest])
}
