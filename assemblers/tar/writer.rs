//! Writing trees into an archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ::tar::EntryType;
use module::{Context, Result};
use tree::walk::{Entry, walk};
use tree::{Kind, Stat, Tree};

use super::attributes::{Selection, records};
use super::header::{BLOCK, Member, pad};
use super::sparse::Map;

/// GNU tar's unit of reading and writing: an archive is padded to it.
const RECORD: u64 = 20 * BLOCK as u64;

/// An archive that is being written.
pub struct Archive<'a> {
    out: Counted<'a>,
    selection: Selection,
    /// The modification time of all members, instead of their own.
    mtime: Option<i64>,
    /// The first member of each inode with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("bytes", &self.out.bytes)
            .finish_non_exhaustive()
    }
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let length = self.out.write(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl<'a> Archive<'a> {
    /// An empty archive, written to `out`.
    pub fn new(out: &'a mut dyn Write, selection: Selection) -> Self {
        Self {
            out: Counted { out, bytes: 0 },
            selection,
            mtime: None,
            links: HashMap::new(),
            buffer: vec![0; 128 * 1024],
        }
    }

    /// Gives all members the modification time `seconds`.
    pub fn at(mut self, seconds: i64) -> Self {
        self.mtime = Some(seconds);
        self
    }

    /// Appends `tree`, its root as the directory `name`, in the order of [`walk`].
    pub fn append_tree(&mut self, tree: &Tree, name: &str) -> Result<()> {
        // the walk's errors are the tree's; ours are kept aside
        let mut failed = None;
        let walked = walk(tree, &mut |entry| {
            let mut path = name.as_bytes().to_vec();
            if !entry.path.as_os_str().is_empty() {
                path.push(b'/');
                path.extend_from_slice(entry.path.as_os_str().as_bytes());
            }
            self.append(path, entry).map_err(|error| {
                failed = Some(error);
                tree::Error::Unsuitable {
                    path: entry.path.to_owned(),
                    reason: "cannot be archived".into(),
                }
            })
        });
        match (failed, walked) {
            (Some(error), _) => Err(error),
            (None, walked) => Ok(walked?),
        }
    }

    /// Appends the single entry `name` of the root of `tree`, under that name.
    pub fn append_file(&mut self, tree: &Tree, name: &str) -> Result<()> {
        let stat = tree
            .stat(name)?
            .with_context(|| format!("there is no {name} to archive"))?;
        let entry = Entry {
            path: Path::new(name),
            stat,
            dir: tree.fd(),
            name: OsStr::new(name),
        };
        self.append(name.as_bytes().to_vec(), &entry)
    }

    fn append(&mut self, mut path: Vec<u8>, entry: &Entry<'_>) -> Result<()> {
        let st = &entry.stat;
        let shown = String::from_utf8_lossy(&path).into_owned();
        let kind = match st.kind {
            Kind::Directory => EntryType::Directory,
            Kind::File => EntryType::Regular,
            Kind::Symlink => EntryType::Symlink,
            Kind::CharDevice => EntryType::Char,
            Kind::BlockDevice => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
            Kind::Socket => {
                println!("left out: {shown} is a socket");
                return Ok(());
            }
        };
        if kind == EntryType::Directory {
            path.push(b'/');
        }
        let mut member = Member {
            kind,
            name: &path,
            link: b"",
            mode: st.mode,
            uid: st.uid,
            gid: st.gid,
            mtime: self.mtime.unwrap_or(st.mtime.0),
            size: 0,
            device: None,
            records: records(&entry.attributes()?, self.selection),
        };
        let first = match st.nlink > 1 && kind != EntryType::Directory {
            true => self.first_name(st, &path),
            false => None,
        };
        if let Some(first) = &first {
            member.kind = EntryType::Link;
            member.link = first;
            member.records.clear();
            return self.write(member, &shown);
        }
        let target;
        match kind {
            EntryType::Regular => return self.append_content(member, entry),
            EntryType::Symlink => {
                target = entry.read_link()?;
                member.link = target.as_os_str().as_bytes();
            }
            EntryType::Char | EntryType::Block => member.device = Some(st.rdev),
            _ => {}
        }
        self.write(member, &shown)
    }

    fn write(&mut self, member: Member<'_>, shown: &str) -> Result<()> {
        member
            .write(&mut self.out)
            .with_context(|| format!("cannot write {shown}"))
    }

    /// The member that the entry `path` is another name of; none where it is the first one.
    fn first_name(&mut self, st: &Stat, path: &[u8]) -> Option<Vec<u8>> {
        match self.links.entry((st.dev, st.ino)) {
            MapEntry::Occupied(first) => Some(first.get().clone()),
            MapEntry::Vacant(vacant) => {
                vacant.insert(path.to_vec());
                None
            }
        }
    }

    fn append_content(&mut self, mut member: Member<'_>, entry: &Entry<'_>) -> Result<()> {
        let shown = entry.path.display();
        let size = entry.stat.size;
        let file = File::from(entry.open()?);
        let map = Map::of(&file, size).with_context(|| format!("cannot read /{shown}"))?;
        let name = member.name;
        match map {
            None => {
                member.size = size;
                member.write(&mut self.out)?;
                self.copy_range(&file, 0, size)
                    .with_context(|| format!("/{shown} changed or cannot be read"))?;
                pad(size, &mut self.out)?;
            }
            Some(map) => {
                let block = map.block(size);
                let sparse = [
                    ("GNU.sparse.major", b"1".to_vec()),
                    ("GNU.sparse.minor", b"0".to_vec()),
                    ("GNU.sparse.name", name.to_vec()),
                    ("GNU.sparse.realsize", size.to_string().into_bytes()),
                ];
                member
                    .records
                    .extend(sparse.map(|(key, value)| (key.as_bytes().to_vec(), value)));
                member.size = block.len() as u64 + map.data();
                let total = member.size;
                // readers that know nothing of sparse files find it under another name
                let (parent, last) =
                    name.split_at(name.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
                let alias = [parent, b"GNUSparseFile.0/", last].concat();
                Member {
                    name: &alias,
                    ..member
                }
                .write(&mut self.out)?;
                self.out.write_all(&block)?;
                for (offset, length) in map.0 {
                    self.copy_range(&file, offset, length)
                        .with_context(|| format!("/{shown} changed or cannot be read"))?;
                }
                pad(total, &mut self.out)?;
            }
        }
        Ok(())
    }

    fn copy_range(&mut self, file: &File, mut offset: u64, mut length: u64) -> std::io::Result<()> {
        while length > 0 {
            let window = length.min(self.buffer.len() as u64) as usize;
            file.read_exact_at(&mut self.buffer[..window], offset)?;
            self.out.write_all(&self.buffer[..window])?;
            offset += window as u64;
            length -= window as u64;
        }
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<()> {
        let end = (self.out.bytes + 2 * BLOCK as u64).next_multiple_of(RECORD);
        let zeros = vec![0; (end - self.out.bytes) as usize];
        // not flushed: whoever made the output ends it, and a flush would cut a compressed stream
        Ok(self.out.write_all(&zeros)?)
    }
}
