//! Reading archives of any format: version 7, ustar, pax, GNU's, with sparse files of all four kinds.
//!
//! Archives come from strangers: every number is checked before it is used, nothing is allocated by a size they state
//! beyond [`LARGEST_HEADER`].

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::header::{BLOCK, Kind};
use super::{attributes, pax};
use crate::{Error, Result};

/// The longest content of a header: attributes may have 64 KiB each, names 4 KiB.
const LARGEST_HEADER: u64 = 8 << 20;

/// Offset and length, again and again.
type Ranges = Vec<(u64, u64)>;

/// What the headers of a member say.
#[derive(Debug)]
pub struct Entry {
    pub path: Vec<u8>,
    /// The target of a link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, in their order.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size of the file.
    pub size: u64,
    /// The ranges of a sparse file that the content fills, in order and inside the file.
    pub ranges: Option<Vec<(u64, u64)>>,
}

/// Reads an archive member by member.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    /// Bytes of the last member's content, and of its padding, that were not read yet.
    left: u64,
    padding: u64,
    /// pax records for all members that follow.
    global: BTreeMap<Vec<u8>, Vec<u8>>,
    any: bool,
}

/// Headers that came before a member's own.
#[derive(Default)]
struct Before {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Offset and length in turn: `GNU.sparse.offset` and `.numbytes` come again and again.
    pairs: Vec<u64>,
}

impl<R: Read> Reader<R> {
    /// A reader of the uncompressed archive `from`.
    pub fn new(from: R) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
            global: BTreeMap::new(),
            any: false,
        }
    }

    /// The next member; `None` at the end of the archive.
    ///
    /// # Errors
    /// The archive is damaged, ends too early, or has a member of an unknown type.
    pub fn entry(&mut self) -> Result<Option<Entry>> {
        let mut before = Before::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = header.number(124, 12)?;
            let size = u64::try_from(size).map_err(|_| damaged("a member has a negative size"))?;
            match header.0[156] {
                b'x' | b'X' => {
                    let body = self.body(size)?;
                    before.add(&body)?;
                }
                b'g' => {
                    let body = self.body(size)?;
                    for (key, value) in pax::records(&body)? {
                        self.global.insert(key.to_vec(), value.to_vec());
                    }
                }
                b'L' => before.path = Some(until_nul(&self.body(size)?).to_vec()),
                b'K' => before.link = Some(until_nul(&self.body(size)?).to_vec()),
                // the name of the volume
                b'V' => self.content_is(size)?,
                _ => return self.member(&header, size, before).map(Some),
            }
        }
    }

    /// The content of the member that [`Self::entry`] gave: for a sparse file what fills its ranges, one after another.
    pub fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    fn member(&mut self, header: &Header, size: u64, mut before: Before) -> Result<Entry> {
        for (key, value) in &self.global {
            before.records.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let records = &before.records;
        let text = |key: &str| records.get(key.as_bytes());
        let number = |key: &str| text(key).map(|value| decimal(value)).transpose();
        let size = number("size")?.unwrap_or(size);
        let path = text("GNU.sparse.name")
            .or_else(|| text("path"))
            .cloned()
            .or(before.path.take())
            .unwrap_or_else(|| header.path());
        let link = text("linkpath")
            .cloned()
            .or(before.link.take())
            .unwrap_or_else(|| until_nul(&header.0[157..257]).to_vec());
        let flag = header.0[156];
        let kind = match flag {
            0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Error::unsuitable(format!(
                    "{}: members of the type `{}` are unknown",
                    String::from_utf8_lossy(&path),
                    other.escape_ascii()
                ));
            }
        };
        // whatever a header says of a link's size, nothing follows it
        self.content_is(if kind == Kind::HardLink { 0 } else { size })?;
        let id = |key: &str, at| -> Result<u32> {
            let id = match number(key)? {
                Some(id) => i64::try_from(id).ok(),
                None => Some(header.number(at, 8)?),
            };
            let id = id.and_then(|id| u32::try_from(id).ok());
            // the last number is nobody's: to the kernel it means not to change the owner
            id.filter(|id| *id != u32::MAX).ok_or_else(|| {
                damaged(&format!(
                    "the {key} of {} is out of range",
                    String::from_utf8_lossy(&path)
                ))
            })
        };
        let mut entry = Entry {
            kind,
            mode: (header.number(100, 8)? & 0o7777) as u32,
            uid: id("uid", 108)?,
            gid: id("gid", 116)?,
            mtime: match text("mtime") {
                Some(text) => time(text)?,
                None => (header.number(136, 12)?, 0),
            },
            device: header.device()?,
            attributes: before.attributes(),
            size,
            ranges: None,
            path,
            link,
        };
        if kind == Kind::File
            && let Some((ranges, size)) = self.ranges(header, &before)?
        {
            check(&ranges, size, self.left)?;
            (entry.ranges, entry.size) = (Some(ranges), size);
        }
        Ok(entry)
    }

    /// The ranges of a sparse file and its real size.
    fn ranges(&mut self, header: &Header, before: &Before) -> Result<Option<(Ranges, u64)>> {
        if header.0[156] == b'S' {
            return self.old_ranges(header).map(Some);
        }
        let text = |key: &str| before.records.get(key.as_bytes());
        let Some(size) = text("GNU.sparse.realsize").or_else(|| text("GNU.sparse.size")) else {
            return Ok(None);
        };
        let size = decimal(size)?;
        let numbers = if text("GNU.sparse.major").is_some_and(|major| major == b"1") {
            self.map()?
        } else if let Some(map) = text("GNU.sparse.map").filter(|map| !map.is_empty()) {
            map.split(|byte| *byte == b',')
                .map(decimal)
                .collect::<Result<_>>()?
        } else {
            before.pairs.clone()
        };
        let ranges = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok(Some((ranges, size)))
    }

    /// The map of GNU's format 1.0: lines before the content, padded to a block.
    fn map(&mut self) -> Result<Vec<u64>> {
        let mut block = [0; BLOCK];
        let (mut line, mut numbers, mut count) = (Vec::new(), Vec::new(), None);
        loop {
            if self.left < BLOCK as u64 {
                return Err(damaged("the map of a sparse file does not end"));
            }
            self.content().read_exact(&mut block)?;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = decimal(&line)?;
                line.clear();
                match count {
                    None => count = number.checked_mul(2),
                    Some(_) => numbers.push(number),
                }
                if count == Some(numbers.len() as u64) {
                    return Ok(numbers);
                }
            }
            if line.len() > BLOCK {
                return Err(damaged("the map of a sparse file is malformed"));
            }
        }
    }

    /// The ranges of GNU's old format: in the header and in blocks that follow it.
    fn old_ranges(&mut self, header: &Header) -> Result<(Ranges, u64)> {
        let mut ranges = Vec::new();
        header.ranges(386, 4, &mut ranges)?;
        let size = header.size_at(483)?;
        let mut more = header.0[482] != 0;
        while more {
            let Some(block) = self.block()? else {
                return Err(damaged("it ends in a header"));
            };
            block.ranges(0, 21, &mut ranges)?;
            more = block.0[504] != 0;
        }
        Ok((ranges, size))
    }

    /// The next header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        let Some(header) = self.block()? else {
            return Ok(None);
        };
        if header.0.iter().all(|byte| *byte == 0) {
            // a decompressor notices damage at its end only
            io::copy(&mut self.from, &mut io::sink())?;
            return Ok(None);
        }
        if !header.sum_is_right() {
            return match self.any {
                true => Err(damaged("a header's checksum is wrong")),
                false => Error::unsuitable("this is not a tar archive"),
            };
        }
        self.any = true;
        Ok(Some(header))
    }

    fn block(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(damaged("it ends in a header")),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(Header(block)))
    }

    /// The content of a header.
    fn body(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LARGEST_HEADER {
            return Err(damaged("a header is too long"));
        }
        self.content_is(size)?;
        let mut body = Vec::new();
        self.content().read_to_end(&mut body)?;
        Ok(body)
    }

    /// `size` bytes of content follow, and its padding.
    fn content_is(&mut self, size: u64) -> Result<()> {
        let padded = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(|| damaged("a member has an impossible size"))?;
        (self.left, self.padding) = (size, padded - size);
        Ok(())
    }

    /// Goes to the end of the last member.
    fn skip(&mut self) -> Result<()> {
        io::copy(&mut self.content(), &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut self.from.by_ref().take(padding), &mut io::sink())?;
        if skipped < padding {
            return Err(damaged("it ends in a member"));
        }
        Ok(())
    }
}

struct Content<'r, R>(&'r mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.0.left.min(buffer.len() as u64) as usize;
        let length = self.0.from.read(&mut buffer[..wanted])?;
        if length == 0 && wanted > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends in a member",
            ));
        }
        self.0.left -= length as u64;
        Ok(length)
    }
}

impl Before {
    fn add(&mut self, body: &[u8]) -> Result<()> {
        for (key, value) in pax::records(body)? {
            if matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes") {
                self.pairs.push(decimal(value)?);
            }
            self.records.insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    }

    fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let attributes = self.records.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(b"SCHILY.xattr.")?;
            Some((name.to_vec(), value.clone()))
        });
        let mut attributes: Vec<_> = attributes.collect();
        // most writers have a list in both forms, and the other one is exact
        let lists = attributes::of_lists(|key| self.records.get(key.as_bytes()).map(Vec::as_slice));
        for (name, value) in lists {
            if !attributes.iter().any(|(other, _)| *other == name) {
                attributes.push((name, value));
            }
        }
        attributes
    }
}

struct Header([u8; BLOCK]);

impl Header {
    /// The checksum counts its own field as spaces; some old writers took bytes for signed.
    fn sum_is_right(&self) -> bool {
        let bytes = || {
            let field = 148..156;
            let byte = move |(at, byte): (usize, &u8)| if field.contains(&at) { b' ' } else { *byte };
            self.0.iter().enumerate().map(byte)
        };
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        self.number(148, 8)
            .is_ok_and(|sum| sum == unsigned || sum == signed)
    }

    /// A number: octal digits, or GNU's binary form.
    fn number(&self, at: usize, width: usize) -> Result<i64> {
        let field = &self.0[at..at + width];
        if field[0] & 0x80 != 0 {
            let negative = field[0] & 0x40 != 0;
            let first = if negative { field[0] } else { field[0] & 0x7f };
            let start = if negative { -1 } else { 0 };
            let number = std::iter::once(&first)
                .chain(&field[1..])
                .try_fold(i128::from(start), |number, byte| {
                    number.checked_mul(256)?.checked_add(i128::from(*byte))
                });
            return number
                .and_then(|number| i64::try_from(number).ok())
                .ok_or_else(|| damaged("a number is out of range"));
        }
        let digits = field.iter().skip_while(|byte| **byte == b' ');
        let mut number = 0i64;
        for byte in digits.take_while(|byte| !matches!(**byte, 0 | b' ')) {
            match byte {
                // 12 digits of 3 bits: no overflow
                b'0'..=b'7' => number = number * 8 + i64::from(byte - b'0'),
                _ => return Err(damaged("a number is malformed")),
            }
        }
        Ok(number)
    }

    fn size_at(&self, at: usize) -> Result<u64> {
        u64::try_from(self.number(at, 12)?).map_err(|_| damaged("a sparse file has a negative size"))
    }

    fn device(&self) -> Result<(u32, u32)> {
        if !matches!(self.0[156], b'3' | b'4') {
            return Ok((0, 0));
        }
        let part = |at| u32::try_from(self.number(at, 8)?).map_err(|_| damaged("a device is out of range"));
        Ok((part(329)?, part(337)?))
    }

    fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        // GNU's own format has other things there
        if self.0[257..263] == *b"ustar\0" && !prefix.is_empty() {
            return [prefix, b"/", name].concat();
        }
        name.to_vec()
    }

    fn ranges(&self, at: usize, count: usize, ranges: &mut Vec<(u64, u64)>) -> Result<()> {
        for at in (0..count).map(|index| at + 24 * index) {
            if self.0[at] != 0 && self.0[at + 12] != 0 {
                ranges.push((self.size_at(at)?, self.size_at(at + 12)?));
            }
        }
        Ok(())
    }
}

/// Refuses ranges that are not in order, not inside the file, or not what the content fills.
fn check(ranges: &[(u64, u64)], size: u64, content: u64) -> Result<()> {
    let mut end = 0u64;
    let mut total = 0u64;
    for (offset, length) in ranges {
        let next = offset.checked_add(*length).filter(|next| *next <= size);
        let (true, Some(next)) = (*offset >= end, next) else {
            return Err(damaged("the map of a sparse file is malformed"));
        };
        (end, total) = (next, total + length);
    }
    if total != content {
        return Err(damaged("the map of a sparse file does not fit its content"));
    }
    Ok(())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

fn decimal(text: &[u8]) -> Result<u64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| damaged("a number in a pax header is malformed"))
}

/// Seconds with a fraction, as in `-1.25`.
fn time(text: &[u8]) -> Result<(i64, u32)> {
    let malformed = || damaged("a time in a pax header is malformed");
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let seconds: i64 = whole.parse().map_err(|_| malformed())?;
    let nanoseconds: u32 = digits.parse().map_err(|_| malformed())?;
    // the fraction goes away from zero, the kernel counts up
    if whole.starts_with('-') && nanoseconds > 0 {
        return Ok((seconds.saturating_sub(1), 1_000_000_000 - nanoseconds));
    }
    Ok((seconds, nanoseconds))
}

fn damaged(how: &str) -> Error {
    Error::Unsuitable(format!("the archive is damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        assert_eq!(time(b"1.5").unwrap(), (1, 500_000_000));
        assert_eq!(time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert_eq!(time(b"7").unwrap(), (7, 0));
        assert!(time(b"1.x").is_err());
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        let number = |field: &[u8]| {
            let mut header = Header([0; BLOCK]);
            header.0[..field.len()].copy_from_slice(field);
            header.number(0, 12).ok()
        };
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(b"  17 \0"), Some(15));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"\x80\xff\0\0\0\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"9"), None);
    }

    #[test]
    fn a_map_outside_the_file_is_refused() {
        check(&[(0, 5), (10, 5)], 15, 10).unwrap();
        for (ranges, size, content) in [
            (&[(0, 5), (3, 5)][..], 15, 10),
            (&[(10, 6)], 15, 6),
            (&[(u64::MAX, 2)], 15, 2),
            (&[(0, 5)], 15, 6),
        ] {
            assert!(check(ranges, size, content).is_err());
        }
    }
}
