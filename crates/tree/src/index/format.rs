//! The bytes of an index, of which the digest is taken too.
//!
//! ```text
//! "osbuild index 2\n"  count  entry…
//! entry:  shared  length path-rest   bytes taken over from the path before, and what follows
//!         flags                      kind (bits 0-2), timeless 8, attributes 16, hard link 32
//!         mode uid gid seconds nanoseconds
//!         file:    size, 32 bytes digest
//!         link:    length target
//!         device:  major minor
//!         [count (length name length value)…]  [group]
//! ```
//!
//! Numbers are unsigned LEB128, seconds zigzag-coded. The digest is the SHA-256 of the same bytes with the time of
//! timeless entries written as 0.

use std::ffi::OsString;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Entry, Index, TreeDigest, order};
use crate::Kind;

const MAGIC: &[u8] = b"osbuild index 2\n";
const KINDS: [Kind; 7] = [
    Kind::File,
    Kind::Directory,
    Kind::Symlink,
    Kind::CharDevice,
    Kind::BlockDevice,
    Kind::Fifo,
    Kind::Socket,
];
const TIMELESS: u8 = 8;
const ATTRIBUTES: u8 = 16;
const HARD_LINK: u8 = 32;

impl Index {
    /// Writes the index; see the layout at the top of this file.
    pub fn write_to(&self, mut to: impl Write) -> Result<()> {
        encode(&self.entries, true, &mut |bytes| to.write_all(bytes))
    }

    /// Reads an index; anything that [`Index::write_to`] does not write is an [`ErrorKind::InvalidData`].
    pub fn read_from(mut from: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let mut rest = Rest(bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("not an index"))?);
        let count = rest.number()? as usize;
        // an entry takes nine bytes at least: a wrong count must not take all memory
        if count > rest.0.len() / 9 {
            return Err(damaged("an index cut short"));
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = entries.last().map_or(&[][..], |e| e.path.as_os_str().as_bytes());
            let entry = rest.entry(before)?;
            entries.push(entry);
        }
        if !rest.0.is_empty() {
            return Err(damaged("an index with something behind it"));
        }
        if !is_ordered(&entries) || !is_written(&entries, &bytes) {
            return Err(damaged("an index that is written in another way"));
        }
        Ok(Self { entries })
    }
}

fn is_ordered(entries: &[Entry]) -> bool {
    entries.is_sorted_by(|a, b| order(&a.path, &b.path).is_lt())
}

/// Whether `bytes` are what [`Index::write_to`] writes: numbers, for one, can be coded in many ways.
fn is_written(entries: &[Entry], bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut compare = |written: &[u8]| {
        rest = rest.strip_prefix(written).ok_or(ErrorKind::InvalidData)?;
        Ok(())
    };
    encode(entries, true, &mut compare).is_ok() && rest.is_empty()
}

pub(super) fn digest(entries: &[Entry]) -> TreeDigest {
    let mut hash = Sha256::new();
    // the sink cannot fail
    let _ = encode(entries, false, &mut |bytes| {
        hash.update(bytes);
        Ok(())
    });
    TreeDigest(hash.finalize().into())
}

fn encode(entries: &[Entry], real_times: bool, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut out = Vec::with_capacity(96 * 1024);
    out.extend_from_slice(MAGIC);
    number(&mut out, entries.len() as u64);
    let mut before: &[u8] = &[];
    for entry in entries {
        let path = entry.path.as_os_str().as_bytes();
        let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
        number(&mut out, shared as u64);
        text(&mut out, &path[shared..]);
        before = path;

        let kind = KINDS.iter().position(|k| *k == entry.kind).unwrap_or(0) as u8;
        let flag = |on, flag| if on { flag } else { 0 };
        out.push(
            kind | flag(entry.timeless, TIMELESS)
                | flag(!entry.xattrs.is_empty(), ATTRIBUTES)
                | flag(entry.hard_link.is_some(), HARD_LINK),
        );
        for value in [entry.mode, entry.uid, entry.gid] {
            number(&mut out, value.into());
        }
        let (seconds, nanoseconds) = if entry.timeless && !real_times {
            (0, 0)
        } else {
            entry.mtime
        };
        number(&mut out, ((seconds << 1) ^ (seconds >> 63)) as u64);
        number(&mut out, nanoseconds.into());
        match entry.kind {
            Kind::File => {
                number(&mut out, entry.size);
                out.extend_from_slice(&entry.digest.unwrap_or_default());
            }
            Kind::Symlink => {
                let target = entry.target.as_deref().unwrap_or_else(|| "".as_ref());
                text(&mut out, target.as_os_str().as_bytes());
            }
            Kind::CharDevice | Kind::BlockDevice => {
                number(&mut out, entry.rdev.0.into());
                number(&mut out, entry.rdev.1.into());
            }
            Kind::Directory | Kind::Fifo | Kind::Socket => {}
        }
        if !entry.xattrs.is_empty() {
            number(&mut out, entry.xattrs.len() as u64);
            for (name, value) in &entry.xattrs {
                text(&mut out, name);
                text(&mut out, value);
            }
        }
        if let Some(group) = entry.hard_link {
            number(&mut out, group.into());
        }
        if out.len() > 64 * 1024 {
            write(&out)?;
            out.clear();
        }
    }
    write(&out)
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// What is still to be read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| damaged("an index cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number without an end in an index"))
    }

    fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| damaged("a number too large in an index"))
    }

    fn text(&mut self) -> Result<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| damaged("an index cut short"))?)
    }

    fn entry(&mut self, before: &[u8]) -> Result<Entry> {
        let shared = self.number()? as usize;
        let rest = self.text()?;
        let mut path = Vec::with_capacity(shared.min(before.len()) + rest.len());
        path.extend_from_slice(
            before
                .get(..shared)
                .ok_or_else(|| damaged("a path without a beginning in an index"))?,
        );
        path.extend_from_slice(rest);
        let flags = self.take(1)?[0];
        let kind = *KINDS
            .get(usize::from(flags & 7))
            .ok_or_else(|| damaged("an unknown kind in an index"))?;
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let seconds = self.number()?;
        let mut entry = Entry {
            path: PathBuf::from(OsString::from_vec(path)),
            kind,
            mode,
            uid,
            gid,
            mtime: ((seconds >> 1) as i64 ^ -((seconds & 1) as i64), self.small()?),
            timeless: flags & TIMELESS != 0,
            size: 0,
            rdev: (0, 0),
            target: None,
            xattrs: Vec::new(),
            digest: None,
            hard_link: None,
        };
        match kind {
            Kind::File => {
                entry.size = self.number()?;
                entry.digest = self.take(32)?.try_into().ok();
            }
            Kind::Symlink => entry.target = Some(OsString::from_vec(self.text()?.to_vec()).into()),
            Kind::CharDevice | Kind::BlockDevice => entry.rdev = (self.small()?, self.small()?),
            Kind::Directory | Kind::Fifo | Kind::Socket => {}
        }
        if flags & ATTRIBUTES != 0 {
            for _ in 0..self.number()? {
                entry.xattrs.push((self.text()?.to_vec(), self.text()?.to_vec()));
            }
        }
        if flags & HARD_LINK != 0 {
            entry.hard_link = Some(self.small()?);
        }
        Ok(entry)
    }
}
