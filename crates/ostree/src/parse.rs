//! Objects taken apart. What they look like is in [`crate::object`]; they come from strangers, so every offset is
//! checked.

use std::io::{self, Read};

use crate::object::{Checksum, Meta};

/// The largest metadata object that is read (`OSTREE_MAX_METADATA_SIZE` of ostree-core.h).
pub const LARGEST_METADATA: u64 = 128 << 20;

/// The largest header of a file: ostree's limit for metadata within a stream is far above what attributes can come to.
const LARGEST_HEADER: u32 = 16 << 20;

/// What a commit leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    pub tree: Checksum,
    pub meta: Checksum,
}

/// The entries of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    pub files: Vec<(String, Checksum)>,
    /// Name, dirtree, dirmeta.
    pub directories: Vec<(String, Checksum, Checksum)>,
}

/// What stands before the compressed content of a file in an archive repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub meta: Meta,
    /// Of a symbolic link; empty for a file.
    pub target: String,
    /// Bytes of the content, uncompressed.
    pub size: u64,
}

/// A serialised tuple or array, whose members' ends are noted behind them.
struct Frame<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Frame<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let width = match bytes.len() as u64 {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        Self { bytes, width }
    }

    /// A framing offset, counted from the last one.
    fn offset(&self, from_last: usize) -> Option<usize> {
        let end = self.end(from_last)?;
        let bytes = self.bytes.get(end.checked_sub(self.width)?..end)?;
        let offset = bytes.iter().rev().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
        usize::try_from(offset).ok()
    }

    /// Where the members end, with so many offsets behind them.
    fn end(&self, offsets: usize) -> Option<usize> {
        self.bytes.len().checked_sub(offsets.checked_mul(self.width)?)
    }

    fn part(&self, start: usize, end: usize) -> Option<&'a [u8]> {
        self.bytes.get(start..end)
    }

    /// The elements of an array of elements that are not aligned.
    fn elements(&self) -> Option<Vec<&'a [u8]>> {
        if self.bytes.is_empty() {
            return Some(Vec::new());
        }
        let table = self.bytes.len().checked_sub(self.offset(0)?)?;
        if table % self.width != 0 {
            return None;
        }
        let mut start = 0;
        let element = |at: usize| {
            let end = self.offset(at)?;
            let part = self.part(start, end);
            start = end;
            part
        };
        (0..table / self.width).rev().map(element).collect()
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let (0, text) = bytes.split_last()? else {
        return None;
    };
    String::from_utf8(text.to_vec()).ok()
}

/// The name of an entry, which must be one (`ot_util_filename_validate` of ostree).
fn name(bytes: &[u8]) -> Option<String> {
    text(bytes).filter(|name| !name.contains(['/', '\0']) && !matches!(name.as_str(), "" | "." | ".."))
}

fn checksum(bytes: &[u8]) -> Option<Checksum> {
    Some(Checksum(bytes.try_into().ok()?))
}

impl Root {
    /// What the bytes of a `commit` object say; `None` if they are none.
    pub fn of_commit(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::of(bytes);
        // metadata, parent, related, subject, body; behind them the time, aligned
        let tree = frame.offset(4)?.checked_next_multiple_of(8)?.checked_add(8)?;
        let meta = frame.offset(5)?;
        Some(Self {
            tree: checksum(frame.part(tree, meta)?)?,
            meta: checksum(frame.part(meta, frame.end(6)?)?)?,
        })
    }
}

impl Directory {
    /// What the bytes of a `dirtree` object say; `None` if they are none.
    pub fn of_dirtree(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::of(bytes);
        let middle = frame.offset(0)?;
        let files = Frame::of(frame.part(0, middle)?).elements()?;
        let directories = Frame::of(frame.part(middle, frame.end(1)?)?).elements()?;
        let file = |bytes| {
            let entry = Frame::of(bytes);
            let end = entry.offset(0)?;
            Some((
                name(entry.part(0, end)?)?,
                checksum(entry.part(end, entry.end(1)?)?)?,
            ))
        };
        let directory = |bytes| {
            let entry = Frame::of(bytes);
            let (end, meta) = (entry.offset(0)?, entry.offset(1)?);
            Some((
                name(entry.part(0, end)?)?,
                checksum(entry.part(end, meta)?)?,
                checksum(entry.part(meta, entry.end(2)?)?)?,
            ))
        };
        Some(Self {
            files: files.into_iter().map(file).collect::<Option<_>>()?,
            directories: directories.into_iter().map(directory).collect::<Option<_>>()?,
        })
    }
}

impl Meta {
    /// What the bytes of a `dirmeta` object say; `None` if they are none.
    pub fn of_dirmeta(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            uid: owner(bytes, 0)?,
            gid: owner(bytes, 4)?,
            mode: number(bytes, 8)?,
            attributes: attributes(bytes.get(12..)?)?,
        })
    }
}

impl Head {
    /// Reads what stands at the beginning of a `filez` object. The inner `None` is when it is none.
    pub fn read(from: &mut dyn Read) -> io::Result<Option<Self>> {
        let mut length = [0; 8];
        from.read_exact(&mut length)?;
        let [a, b, c, d, ..] = length;
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > LARGEST_HEADER {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        Ok(Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::of(bytes);
        let end = frame.offset(0)?;
        Some(Self {
            size: u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?),
            meta: Meta {
                uid: owner(bytes, 8)?,
                gid: owner(bytes, 12)?,
                mode: number(bytes, 16)?,
                attributes: attributes(frame.part(end, frame.end(1)?)?)?,
            },
            target: text(frame.part(24, end)?)?,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A user or group; the number that stands for none is no owner.
fn owner(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).filter(|id| *id != u32::MAX)
}

fn attributes(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let attribute = |bytes| {
        let pair = Frame::of(bytes);
        let end = pair.offset(0)?;
        let (0, name) = pair.part(0, end)?.split_last()? else {
            return None;
        };
        Some((name.to_vec(), pair.part(end, pair.end(1)?)?.to_vec()))
    };
    Frame::of(bytes).elements()?.into_iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Commit, Entry, dirtree};

    fn sum(byte: u8) -> Checksum {
        Checksum([byte; 32])
    }

    #[test]
    fn what_was_written_is_read() {
        for count in [0, 1, 3, 300, 3000] {
            let files: Vec<_> = (0..count).map(|n| (format!("file {n:05}"), sum(1))).collect();
            let directories: Vec<_> = (0..count).map(|n| (format!("d{n:05}"), sum(2), sum(3))).collect();
            let read = Directory::of_dirtree(&dirtree(&files, &directories)).unwrap();
            assert_eq!(read, Directory { files, directories });
        }
        for text in ["", "0.1", &"long ".repeat(100)] {
            let commit = Commit {
                metadata: vec![("version".into(), Entry::Text(text.into()))],
                subject: text.into(),
                parent: (text.len() == 3).then_some(sum(9)),
                ..Commit::default()
            };
            let root = Root::of_commit(&commit.object(sum(4), sum(5))).unwrap();
            assert_eq!((root.tree, root.meta), (sum(4), sum(5)));
        }
        let meta = Meta {
            uid: 1,
            gid: 2,
            mode: 0o104_755,
            attributes: vec![
                (b"user.a".to_vec(), b"\0value".to_vec()),
                (b"user.b".to_vec(), vec![7; 300]),
            ],
        };
        assert_eq!(Meta::of_dirmeta(&meta.dirmeta()), Some(meta.clone()));
        for target in ["", "../some/where"] {
            let head = Head::read(&mut &meta.archive_header(target, 77)[..])
                .unwrap()
                .unwrap();
            assert_eq!((head.target.as_str(), head.size, &head.meta), (target, 77, &meta));
        }
    }

    #[test]
    fn nobodys_number_is_no_owner() {
        for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
            let meta = Meta {
                uid,
                gid,
                mode: 0o040_755,
                attributes: Vec::new(),
            };
            assert_eq!(Meta::of_dirmeta(&meta.dirmeta()), None);
            let header = meta.archive_header("a", 0);
            assert_eq!(Head::read(&mut &header[..]).unwrap(), None);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["..", ".", "", "a/b", "/etc"] {
            assert_eq!(
                Directory::of_dirtree(&dirtree(&[(name.into(), sum(1))], &[])),
                None,
                "{name}"
            );
            assert_eq!(
                Directory::of_dirtree(&dirtree(&[], &[(name.into(), sum(1), sum(1))])),
                None
            );
        }
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let good = dirtree(&[("a".into(), sum(1))], &[("b".into(), sum(2), sum(3))]);
        for length in 0..good.len() {
            Directory::of_dirtree(&good[..length]);
        }
        let mut state = 1u32;
        for length in 0..600 {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            Directory::of_dirtree(&noise);
            Root::of_commit(&noise);
            Meta::of_dirmeta(&noise);
            Head::of(&noise);
        }
    }
}
