//! Unpacking a tar archive from strangers into a tree.
//!
//! As `tar -xp` does it as root: owners by their numbers, exact modes, times; what is in the way is replaced, but a
//! directory that is there stays with all it holds. Extended attributes are restored, SELinux labels apart. Unlike with
//! tar no member leads out of the tree: links on the way are followed inside it, `..` is refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use filling::{Filling, Look};
use rustix::fs::{self, FileType, Mode, OFlags};
use tree::{Deed, Kind as TreeKind, Tree};

use crate::tar::{Entry, Kind, Reader};
use crate::{Error, Result};

/// Unpacks the uncompressed archive `from`; how many members it had.
///
/// # Errors
/// The archive is damaged; a member leads out of the tree, or cannot be made: a device, unless it is one of `/dev`, which
/// is left out.
pub fn unpack(tree: &Tree, from: impl Read) -> Result<u64> {
    let (count, refused) = unpack_most(tree, from)?;
    match refused.first() {
        None => Ok(count),
        Some((path, _)) => Error::unsuitable(format!(
            "cannot unpack /{}: device nodes cannot be made in a sandbox, those of /dev are left out: leave this one out of \
             the archive",
            path.display()
        )),
    }
}

/// [`unpack`]; the device nodes that this process may not make are returned, for somebody who may.
pub fn unpack_most(tree: &Tree, from: impl Read) -> Result<(u64, Vec<(PathBuf, Deed)>)> {
    let _span = trace::span("unpack");
    let mut reader = Reader::new(from);
    let mut unpacker = Unpacker::new(tree);
    let mut count = 0;
    while let Some(entry) = reader.entry()? {
        let path = inside(&entry.path)?;
        unpacker.unpack(&path, &entry, &mut reader)?;
        count += 1;
    }
    Ok((count, unpacker.finish()?))
}

/// Unpacks member by member, for archives in which some mean something else.
#[derive(Debug)]
pub struct Unpacker<'t> {
    tree: &'t Tree,
    /// Directories' times, which what is made in them changes.
    times: BTreeMap<PathBuf, (i64, u32)>,
    refused: Vec<(PathBuf, Deed)>,
    filling: Filling,
    /// The directory of the last file: the next one is most often in the same.
    parent: Option<(PathBuf, OwnedFd)>,
}

impl<'t> Unpacker<'t> {
    pub fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            times: BTreeMap::new(),
            refused: Vec::new(),
            filling: Filling::new(),
            parent: None,
        }
    }

    /// To be called when something of the tree was removed or renamed between two members: paths may lead elsewhere then.
    pub fn tree_changed(&mut self) {
        self.parent = None;
    }

    /// Makes `entry`, the last one of `reader`, at `path`, which [`inside`] has told. A file's content, owner, mode and
    /// time may follow until [`Self::finish`].
    pub fn unpack(&mut self, path: &Path, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<()> {
        if entry.kind == Kind::Directory {
            self.times.insert(path.to_owned(), entry.mtime);
        } else {
            // it may have taken a directory's place
            self.times.remove(path);
        }
        let made = self
            .make(path, entry, reader)
            .map_err(|error| error.about(&format!("cannot unpack /{}", path.display())));
        let made = match made {
            // what failed before it is what is told
            Err(error) => return self.filling.finish().and(Err(error)),
            Ok(made) => made,
        };
        // what is unpacked later takes the place of what was to be made
        self.refused.retain(|(other, _)| other != path);
        self.refused.extend(made.map(|deed| (path.to_owned(), deed)));
        Ok(())
    }

    /// Waits for the files' content and sets the directories' times; the device nodes that this process may not make.
    pub fn finish(mut self) -> Result<Vec<(PathBuf, Deed)>> {
        self.filling.finish()?;
        let tree = self.tree;
        for (path, (seconds, nanoseconds)) in self.times {
            if matches!(tree.stat(&path)?, Some(stat) if stat.kind == TreeKind::Directory) {
                tree.set_mtime(&path, seconds, nanoseconds)?;
            }
        }
        Ok(self.refused)
    }

    /// Makes a member; or what would make it, if this process may not.
    fn make(&mut self, path: &Path, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<Option<Deed>> {
        let tree = self.tree;
        if entry.kind == Kind::File
            && let Some(file) = self.beside_the_last(path)
        {
            self.filling.fill(file, path, entry, reader)?;
            return Ok(None);
        }
        self.parent = None;
        if entry.kind == Kind::Directory {
            return directory(tree, path, entry).map(|()| None);
        }
        if path.as_os_str().is_empty() {
            return Error::unsuitable("it would take the place of the root directory");
        }
        tree.mkdir_all(path.parent().unwrap_or(Path::new("")))?;
        if entry.kind == Kind::HardLink {
            return hard_link(tree, path, &inside(&entry.link)?).map(|()| None);
        }
        clear(tree, path)?;
        match entry.kind {
            Kind::File => {
                let (dir, _) = tree.parent_of(path)?;
                self.parent = Some((path.parent().unwrap_or(Path::new("")).to_owned(), dir));
                let file = File::from(tree.open_at(path, NEW_FILE, 0o600)?);
                self.filling.fill(file, path, entry, reader)?;
                return Ok(None);
            }
            Kind::Symlink => tree.symlink(OsStr::from_bytes(&entry.link), path)?,
            Kind::Fifo => node(tree, path, entry, FileType::Fifo)?,
            Kind::CharDevice | Kind::BlockDevice => return device(tree, path, entry),
            _ => {}
        }
        tree.chown(path, Some(entry.uid), Some(entry.gid))?;
        if entry.kind != Kind::Symlink {
            tree.chmod(path, entry.mode)?;
        }
        tree.set_mtime(path, entry.mtime.0, entry.mtime.1)?;
        Ok(None)
    }

    /// A new file in the directory of the last one; `None` where that has to be done with more care. Since the last file
    /// nothing was made or removed but other files in the same directory: its path leads where it led.
    fn beside_the_last(&self, path: &Path) -> Option<File> {
        let (parent, dir) = self.parent.as_ref()?;
        if path.parent()? != parent {
            return None;
        }
        let mode = Mode::from_raw_mode(0o600);
        let file = fs::openat(dir, path.file_name()?, NEW_FILE | OFlags::CLOEXEC, mode);
        file.ok().map(File::from)
    }
}

/// A file that nothing was there of.
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW);

fn directory(tree: &Tree, path: &Path, entry: &Entry) -> Result<()> {
    match tree.stat(path)?.map(|stat| stat.kind) {
        Some(TreeKind::Directory) => {}
        Some(_) => {
            tree.remove_file(path)?;
            tree.mkdir(path, 0o700)?;
        }
        None => {
            tree.mkdir_all(path.parent().unwrap_or(Path::new("")))?;
            tree.mkdir(path, 0o700)?;
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    Look::of(entry).apply(&File::from(tree.open_at(path, flags, 0)?))
}

fn hard_link(tree: &Tree, path: &Path, original: &Path) -> Result<()> {
    let Some(stat) = tree.stat(original)? else {
        return Error::unsuitable(format!(
            "it is to be another name of /{}, which is not there",
            original.display()
        ));
    };
    if matches!(tree.stat(path)?, Some(there) if (there.dev, there.ino) == (stat.dev, stat.ino)) {
        return Ok(());
    }
    clear(tree, path)?;
    Ok(tree.hard_link(original, path)?)
}

/// Makes room at `path`: a file, a link or an empty directory is removed.
fn clear(tree: &Tree, path: &Path) -> Result<()> {
    match tree.stat(path)?.map(|stat| stat.kind) {
        None => Ok(()),
        Some(TreeKind::Directory) if tree.list(path)?.is_empty() => Ok(tree.remove_all(path)?),
        Some(TreeKind::Directory) => Error::unsuitable("a directory that is not empty is there"),
        Some(_) => Ok(tree.remove_file(path)?),
    }
}

fn node(tree: &Tree, path: &Path, entry: &Entry, kind: FileType) -> Result<()> {
    let (dir, name) = tree.parent_of(path)?;
    let device = fs::makedev(entry.device.0, entry.device.1);
    fs::mknodat(dir.as_fd(), &name, kind, Mode::from_raw_mode(entry.mode), device)
        .map_err(|errno| Error::at(|| "cannot make the node")(errno.into()))
}

/// Makes a device; or what would make it, if this process may not. `/dev` is made anew wherever the tree runs: what is in it
/// is left out then.
fn device(tree: &Tree, path: &Path, entry: &Entry) -> Result<Option<Deed>> {
    let deed = Deed::Device {
        block: entry.kind == Kind::BlockDevice,
        major: entry.device.0,
        minor: entry.device.1,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
    };
    match deed.apply(tree, path) {
        Ok(()) => {
            tree.set_mtime(path, entry.mtime.0, entry.mtime.1)?;
            Ok(None)
        }
        Err(error) if error.is_refused() && path.starts_with("dev") => {
            println!("left out the device node /{}", path.display());
            Ok(None)
        }
        Err(error) if error.is_refused() => Ok(Some(deed)),
        Err(error) => Err(error.into()),
    }
}

/// The path of a member relative to the root of the tree; one that leads out of it is refused.
pub fn inside(member: &[u8]) -> Result<PathBuf> {
    let member = Path::new(OsStr::from_bytes(member));
    let mut path = PathBuf::new();
    for component in member.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => {
                return Error::unsuitable(format!("the member `{}` leads out of the tree", member.display()));
            }
        }
    }
    Ok(path)
}

mod filling;
#[cfg(test)]
mod tests;
