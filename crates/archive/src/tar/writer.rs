//! Writing trees into an archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tree::walk::{Entry, walk};
use tree::{Kind as TreeKind, Stat, Tree};

use super::attributes::{Selection, records};
use super::header::{BLOCK, Format, Kind, Member, pad};
use super::sparse::Map;
use super::transform::{Name, Transform};
use crate::{Error, Result};

/// GNU tar's unit of reading and writing: an archive is padded to it.
const RECORD: u64 = 20 * BLOCK as u64;

/// What an archive is like.
#[derive(Debug, Clone)]
pub struct Options {
    pub format: Format,
    /// Attributes, which only [`Format::Posix`] can hold.
    pub selection: Selection,
    /// Leave holes out, where the format can.
    pub sparse: bool,
    /// The modification time of all members, instead of their own.
    pub mtime: Option<i64>,
    /// The latest modification time: later ones become it.
    pub latest: Option<i64>,
    /// Write root's name beside its number: other names depend on whose user database it is.
    pub names: bool,
    pub transform: Transform,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Posix,
            selection: Selection::ALL,
            sparse: true,
            mtime: None,
            latest: None,
            names: false,
            transform: Transform::default(),
        }
    }
}

/// An archive that is being written.
pub struct Archive<'a> {
    out: Counted<'a>,
    options: Options,
    /// The first name of each inode with several.
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
    pub fn new(out: &'a mut dyn Write, options: Options) -> Self {
        Self {
            out: Counted { out, bytes: 0 },
            options,
            links: HashMap::new(),
            buffer: vec![0; 128 * 1024],
        }
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
            self.append(&path, entry).map_err(|error| {
                failed = Some(error);
                tree::Error::Stopped
            })
        });
        match (failed, walked) {
            (Some(error), _) => Err(error),
            (None, walked) => Ok(walked?),
        }
    }

    /// Appends the entry `path` of `tree`, a directory with all below it, under that name. A link at its end is not
    /// followed.
    ///
    /// # Errors
    /// It is not there.
    pub fn append_path(&mut self, tree: &Tree, path: &str) -> Result<()> {
        let missing = || Error::Unsuitable(format!("there is no {path} to archive"));
        let name = path.trim_matches('/');
        let stat = tree.stat(name)?.ok_or_else(missing)?;
        if stat.kind == TreeKind::Directory {
            return self.append_tree(&tree.subtree(name)?, name);
        }
        let (dir, last) = tree.parent_of(Path::new(name))?;
        let entry = Entry {
            path: Path::new(name),
            stat,
            dir: dir.as_fd(),
            name: OsStr::new(&last),
        };
        self.append(name.as_bytes(), &entry)
    }

    fn append(&mut self, original: &[u8], entry: &Entry<'_>) -> Result<()> {
        let st = &entry.stat;
        let shown = String::from_utf8_lossy(original).into_owned();
        let kind = match st.kind {
            TreeKind::Directory => Kind::Directory,
            TreeKind::File => Kind::File,
            TreeKind::Symlink => Kind::Symlink,
            TreeKind::CharDevice => Kind::CharDevice,
            TreeKind::BlockDevice => Kind::BlockDevice,
            TreeKind::Fifo => Kind::Fifo,
            TreeKind::Socket => {
                println!("left out: {shown} is a socket");
                return Ok(());
            }
        };
        let mut path = self.options.transform.apply(original, Name::Member);
        if path.is_empty() {
            println!("left out: {shown}, whose name has become empty");
            return Ok(());
        }
        if kind == Kind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let attributes = match self.options.format {
            Format::Posix => records(&entry.attributes()?, self.options.selection),
            _ => Vec::new(),
        };
        let mtime = self.options.mtime.unwrap_or(st.mtime.0);
        let mut member = Member {
            kind,
            name: &path,
            link: b"",
            mode: st.mode,
            uid: st.uid,
            gid: st.gid,
            user: if self.options.names && st.uid == 0 {
                "root"
            } else {
                ""
            },
            mtime: self.options.latest.map_or(mtime, |latest| mtime.min(latest)),
            size: 0,
            device: None,
            records: attributes,
            sparse: None,
        };
        let first = match st.nlink > 1 && kind != Kind::Directory {
            true => self.first_name(st, original),
            false => None,
        };
        let target;
        if let Some(first) = first {
            target = self.options.transform.apply(&first, Name::HardLinkTarget);
            member.kind = Kind::HardLink;
            member.link = &target;
            member.records.clear();
            return self.write(member, &shown);
        }
        match kind {
            Kind::File => return self.append_content(member, entry),
            Kind::Symlink => {
                let link = entry.read_link()?;
                let link = link.as_os_str().as_bytes();
                target = self.options.transform.apply(link, Name::SymlinkTarget);
                member.link = &target;
            }
            Kind::CharDevice | Kind::BlockDevice => member.device = Some(st.rdev),
            _ => {}
        }
        self.write(member, &shown)
    }

    fn write(&mut self, member: Member<'_>, shown: &str) -> Result<()> {
        member
            .write(self.options.format, &mut self.out)
            .map_err(|error| error.about(shown))
    }

    /// The name, as yet untransformed, that the entry `path` is another one of; none where it is the first.
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
        let shown = entry.path.display().to_string();
        let size = entry.stat.size;
        let file = File::from(entry.open()?);
        let format = self.options.format;
        let map = match self.options.sparse && matches!(format, Format::Posix | Format::Gnu) {
            true => Map::of(&file, size).map_err(Error::at(|| format!("cannot read /{shown}")))?,
            false => None,
        };
        let Some(map) = map else {
            member.size = size;
            self.write(member, &shown)?;
            return self.copy_ranges(&file, &[(0, size)], size, &shown);
        };
        if format == Format::Gnu {
            let mut ranges = map.0.clone();
            if map.ends_in_hole(size) {
                ranges.push((size, 0));
            }
            member.size = map.data();
            member.sparse = Some((ranges, size));
            self.write(member, &shown)?;
            return self.copy_ranges(&file, &map.0, map.data(), &shown);
        }
        let block = map.block(size);
        let name = member.name;
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
        let (parent, last) = name.split_at(name.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
        let alias = [parent, b"GNUSparseFile.0/", last].concat();
        let member = Member {
            name: &alias,
            ..member
        };
        self.write(member, &shown)?;
        self.out.write_all(&block)?;
        self.copy_ranges(&file, &map.0, total, &shown)
    }

    /// Copies `ranges` of the file, and pads what are `total` bytes of content with them.
    fn copy_ranges(&mut self, file: &File, ranges: &[(u64, u64)], total: u64, shown: &str) -> Result<()> {
        for (offset, length) in ranges {
            self.copy_range(file, *offset, *length)
                .map_err(Error::at(|| format!("/{shown} changed or cannot be read")))?;
        }
        Ok(pad(total, &mut self.out)?)
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
