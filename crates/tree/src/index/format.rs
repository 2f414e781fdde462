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
//! timeless entries written as 0. In memory an index is these bytes as well, behind the count.

use std::ffi::OsString;
use std::io::{Read, Result, Write};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::coding::{Rest, damaged, put_number, put_text, unzigzag, zigzag};
use super::packed::{Packed, Record};
use super::{Entry, Index, TreeDigest};
use crate::Kind;

const MAGIC: &[u8] = b"osbuild index 2\n";
/// Bytes that are written at a time: of more some kernels take whole fresh blocks of memory, which costs ten times as much.
const WRITTEN: usize = 64 << 10;
const KINDS: [Kind; 7] = [
    Kind::File,
    Kind::Directory,
    Kind::Symlink,
    Kind::CharDevice,
    Kind::BlockDevice,
    Kind::Fifo,
    Kind::Socket,
];
const KIND: u8 = 7;
pub(super) const TIMELESS: u8 = 8;
pub(super) const ATTRIBUTES: u8 = 16;
pub(super) const HARD_LINK: u8 = 32;
/// In the place of the digest of a file that was not read. Nothing is known of which this is the SHA-256.
const UNREAD: [u8; 32] = [0; 32];

/// What an index has of an entry beside its path: from the flags on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields;

impl Record for Fields {
    fn check(rest: &mut Rest<'_>) -> Result<()> {
        Parts::take(rest).map(drop)
    }

    fn skip(rest: &mut Rest<'_>) -> Result<()> {
        let flags = rest.byte()?;
        for _mode_owners_time in 0..5 {
            rest.skip_number()?;
        }
        match kind_of(flags) {
            Some(Kind::File) => {
                rest.skip_number()?;
                rest.take(UNREAD.len())?;
            }
            Some(Kind::Symlink) => drop(rest.text()?),
            Some(Kind::CharDevice | Kind::BlockDevice) => {
                rest.skip_number()?;
                rest.skip_number()?;
            }
            _ => {}
        }
        if flags & ATTRIBUTES != 0 {
            for _ in 0..2 * rest.number()? {
                rest.text()?;
            }
        }
        match flags & HARD_LINK {
            0 => Ok(()),
            _ => rest.skip_number(),
        }
    }

    fn kind(record: &[u8]) -> Kind {
        kind_of(Self::flags(record)).unwrap_or(Kind::File)
    }

    fn flags(record: &[u8]) -> u8 {
        record.first().copied().unwrap_or(0)
    }
}

fn kind_of(flags: u8) -> Option<Kind> {
    KINDS.get(usize::from(flags & KIND)).copied()
}

/// Where the parts of a record are in it.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    flags: u8,
    /// Seconds and nanoseconds.
    time: Range<usize>,
    /// Size and digest, target or device.
    content: Range<usize>,
    /// With their count.
    attributes: Range<usize>,
    /// The hard link's group.
    group: Range<usize>,
}

impl Parts {
    /// The parts of a record that is at hand whole.
    pub(super) fn of(record: &[u8]) -> Option<Self> {
        Self::take(&mut Rest(record)).ok()
    }

    fn take(rest: &mut Rest<'_>) -> Result<Self> {
        let whole = rest.0.len();
        let flags = rest.byte()?;
        let kind = kind_of(flags).ok_or_else(|| damaged("an unknown kind in an index"))?;
        if flags & !(KIND | TIMELESS | ATTRIBUTES | HARD_LINK) != 0 {
            return Err(damaged("an index that is written in another way"));
        }
        for _mode_and_owners in 0..3 {
            rest.small()?;
        }
        let time = whole - rest.0.len();
        rest.number()?;
        rest.small()?;
        let content = whole - rest.0.len();
        match kind {
            Kind::File => {
                rest.number()?;
                rest.take(UNREAD.len())?;
            }
            Kind::Symlink => drop(rest.text()?),
            Kind::CharDevice | Kind::BlockDevice => {
                rest.small()?;
                rest.small()?;
            }
            Kind::Directory | Kind::Fifo | Kind::Socket => {}
        }
        let attributes = whole - rest.0.len();
        if flags & ATTRIBUTES != 0 {
            let count = rest.number()?;
            if count == 0 {
                return Err(damaged("an index that is written in another way"));
            }
            for _ in 0..count {
                rest.text()?;
                rest.text()?;
            }
        }
        let group = whole - rest.0.len();
        if flags & HARD_LINK != 0 {
            rest.small()?;
        }
        Ok(Self {
            flags,
            time: time..content,
            content: content..attributes,
            attributes: attributes..group,
            group: group..whole - rest.0.len(),
        })
    }

    /// The number of the entries of its inode.
    pub(super) fn group(&self, record: &[u8]) -> Option<u32> {
        match self.flags & HARD_LINK {
            0 => None,
            _ => Rest(record.get(self.group.clone())?).small().ok(),
        }
    }

    /// The modification time: seconds and nanoseconds.
    pub(super) fn time(&self, record: &[u8]) -> Option<(i64, u32)> {
        let mut rest = Rest(record.get(self.time.clone())?);
        Some((unzigzag(rest.number().ok()?), rest.small().ok()?))
    }

    /// Of a file its length, else 0.
    pub(super) fn size(&self, record: &[u8]) -> u64 {
        let content = record.get(self.content.clone()).unwrap_or_default();
        match kind_of(self.flags) {
            Some(Kind::File) => Rest(content).number().unwrap_or(0),
            _ => 0,
        }
    }

    /// Where the digest of a file is in its record.
    pub(super) fn digest(&self) -> Option<usize> {
        (kind_of(self.flags) == Some(Kind::File)).then(|| self.content.end - UNREAD.len())
    }
}

/// Appends the record of an entry.
pub(super) fn put_record(out: &mut Vec<u8>, entry: &Entry) {
    let kind = KINDS.iter().position(|k| *k == entry.kind).unwrap_or(0) as u8;
    let flag = |on, flag| if on { flag } else { 0 };
    out.push(
        kind | flag(entry.timeless, TIMELESS)
            | flag(!entry.xattrs.is_empty(), ATTRIBUTES)
            | flag(entry.hard_link.is_some(), HARD_LINK),
    );
    for value in [entry.mode, entry.uid, entry.gid] {
        put_number(out, value.into());
    }
    put_number(out, zigzag(entry.mtime.0));
    put_number(out, entry.mtime.1.into());
    match entry.kind {
        Kind::File => {
            put_number(out, entry.size);
            out.extend_from_slice(&entry.digest.unwrap_or(UNREAD));
        }
        Kind::Symlink => {
            let target = entry.target.as_deref().unwrap_or_else(|| "".as_ref());
            put_text(out, target.as_os_str().as_bytes());
        }
        Kind::CharDevice | Kind::BlockDevice => {
            put_number(out, entry.rdev.0.into());
            put_number(out, entry.rdev.1.into());
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    if !entry.xattrs.is_empty() {
        put_number(out, entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            put_text(out, name);
            put_text(out, value);
        }
    }
    if let Some(group) = entry.hard_link {
        put_number(out, group.into());
    }
}

/// Appends a record with this group of hard links, or none, in the place of its own.
pub(super) fn put_linked(out: &mut Vec<u8>, record: &[u8], group: Option<u32>) {
    let start = out.len();
    let plain = match Fields::flags(record) & HARD_LINK {
        0 => record.len(),
        _ => Parts::of(record).map_or(record.len(), |parts| parts.group.start),
    };
    out.extend_from_slice(&record[..plain]);
    if let Some(flags) = out.get_mut(start) {
        *flags = (*flags & !HARD_LINK) | if group.is_some() { HARD_LINK } else { 0 };
    }
    if let Some(group) = group {
        put_number(out, group.into());
    }
}

/// The entry of a path and its record.
pub(super) fn entry(path: &[u8], record: &[u8]) -> Entry {
    let mut entry = Entry {
        path: PathBuf::from(OsString::from_vec(path.to_vec())),
        kind: Fields::kind(record),
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        timeless: Fields::flags(record) & TIMELESS != 0,
        size: 0,
        rdev: (0, 0),
        target: None,
        xattrs: Vec::new(),
        digest: None,
        hard_link: None,
    };
    // every record was looked at when it came in
    let _ = fill(&mut entry, record);
    entry
}

fn fill(entry: &mut Entry, record: &[u8]) -> Result<()> {
    let mut rest = Rest(record);
    let flags = rest.byte()?;
    (entry.mode, entry.uid, entry.gid) = (rest.small()?, rest.small()?, rest.small()?);
    entry.mtime = (unzigzag(rest.number()?), rest.small()?);
    match entry.kind {
        Kind::File => {
            entry.size = rest.number()?;
            let digest = rest.take(UNREAD.len())?.try_into().ok();
            entry.digest = digest.filter(|digest| *digest != UNREAD);
        }
        Kind::Symlink => entry.target = Some(OsString::from_vec(rest.text()?.to_vec()).into()),
        Kind::CharDevice | Kind::BlockDevice => entry.rdev = (rest.small()?, rest.small()?),
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    if flags & ATTRIBUTES != 0 {
        for _ in 0..rest.number()? {
            entry.xattrs.push((rest.text()?.to_vec(), rest.text()?.to_vec()));
        }
    }
    if flags & HARD_LINK != 0 {
        entry.hard_link = Some(rest.small()?);
    }
    Ok(())
}

impl Index {
    /// Writes the index; see the layout at the top of this file.
    pub fn write_to(&self, mut to: impl Write) -> Result<()> {
        to.write_all(&head(self.packed.len()))?;
        self.packed
            .bytes()
            .chunks(WRITTEN)
            .try_for_each(|chunk| to.write_all(chunk))
    }

    /// Reads an index; anything that [`Index::write_to`] does not write is an
    /// [`InvalidData`](std::io::ErrorKind::InvalidData).
    pub fn read_from(mut from: impl Read) -> Result<Self> {
        let mut magic = Vec::new();
        from.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("not an index"));
        }
        // by single bytes: what follows is to be at the beginning of its memory
        let mut count = Vec::new();
        while count.last().is_none_or(|last| *last >= 0x80) && count.len() <= 10 {
            if from.by_ref().take(1).read_to_end(&mut count)? == 0 {
                return Err(damaged("an index cut short"));
            }
        }
        let count = Rest(&count).number()? as usize;
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        // an entry takes eight bytes at least
        if count > bytes.len() / 8 {
            return Err(damaged("an index cut short"));
        }
        Packed::from_bytes(bytes, count).map(|packed| Self { packed })
    }
}

/// What is before the entries.
fn head(count: usize) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    put_number(&mut head, count as u64);
    head
}

pub(super) fn digest(packed: &Packed<Fields>) -> TreeDigest {
    let mut hash = Sha256::new();
    hash.update(head(packed.len()));
    let bytes = packed.bytes();
    let mut done = 0;
    if packed.flags() & TIMELESS != 0 {
        packed.each_record(&mut |at, record| {
            if Fields::flags(record) & TIMELESS == 0 {
                return;
            }
            if let Some(parts) = Parts::of(record) {
                hash.update(&bytes[done..at + parts.time.start]);
                hash.update([0, 0]);
                done = at + parts.time.end;
            }
        });
    }
    hash.update(&bytes[done..]);
    TreeDigest(hash.finalize().into())
}

/// The attributes among the parts of a record.
pub(super) fn attributes(record: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = || -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let parts = Parts::of(record)?;
        let mut rest = Rest(record.get(parts.attributes)?);
        let count = rest.number().ok()?;
        let one = |_| Some((rest.text().ok()?.to_vec(), rest.text().ok()?.to_vec()));
        (0..count).map(one).collect()
    };
    match Fields::flags(record) & ATTRIBUTES {
        0 => Vec::new(),
        _ => read().unwrap_or_default(),
    }
}
