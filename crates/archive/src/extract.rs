//! Unpacking a tar archive from strangers into a tree.
//!
//! As `tar -xp` does it as root: owners by their numbers, exact modes, times; what is in the way is replaced, but a
//! directory that is there stays with all it holds. Extended attributes are restored, SELinux labels apart. Unlike with
//! tar no member leads out of the tree: links on the way are followed inside it, `..` is refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, XattrFlags};
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
}

impl<'t> Unpacker<'t> {
    pub fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            times: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    /// Makes `entry`, the last one of `reader`, at `path`, which [`inside`] has told.
    pub fn unpack(&mut self, path: &Path, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<()> {
        if entry.kind == Kind::Directory {
            self.times.insert(path.to_owned(), entry.mtime);
        } else {
            // it may have taken a directory's place
            self.times.remove(path);
        }
        let made = make(self.tree, path, entry, reader)
            .map_err(|error| error.about(&format!("cannot unpack /{}", path.display())))?;
        // what is unpacked later takes the place of what was to be made
        self.refused.retain(|(other, _)| other != path);
        self.refused.extend(made.map(|deed| (path.to_owned(), deed)));
        Ok(())
    }

    /// Sets the directories' times; the device nodes that this process may not make.
    pub fn finish(self) -> Result<Vec<(PathBuf, Deed)>> {
        let tree = self.tree;
        for (path, (seconds, nanoseconds)) in self.times {
            if matches!(tree.stat(&path)?, Some(stat) if stat.kind == TreeKind::Directory) {
                tree.set_mtime(&path, seconds, nanoseconds)?;
            }
        }
        Ok(self.refused)
    }
}

/// Makes a member; or what would make it, if this process may not.
fn make(tree: &Tree, path: &Path, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<Option<Deed>> {
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
        Kind::File => return file(tree, path, entry, reader).map(|()| None),
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
    dress(&File::from(tree.open_at(path, flags, 0)?), entry)
}

fn file(tree: &Tree, path: &Path, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = File::from(tree.open_at(path, flags, 0o600)?);
    match &entry.ranges {
        None => fill(&file, 0, entry.size, reader)?,
        Some(ranges) => {
            file.set_len(entry.size)?;
            for (offset, length) in ranges {
                fill(&file, *offset, *length, reader)?;
            }
        }
    }
    dress(&file, entry)?;
    let (seconds, nanoseconds) = entry.mtime;
    Ok(tree.set_mtime(path, seconds, nanoseconds)?)
}

fn fill(file: &File, mut at: u64, mut left: u64, reader: &mut Reader<impl Read>) -> Result<()> {
    let mut buffer = vec![0; left.min(256 * 1024) as usize];
    let mut content = reader.content();
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        content.read_exact(&mut buffer[..wanted])?;
        file.write_all_at(&buffer[..wanted], at)?;
        (at, left) = (at + wanted as u64, left - wanted as u64);
    }
    Ok(())
}

/// Owner, mode and attributes, in this order: a change of owner takes the setuid bit and capabilities away.
fn dress(file: &File, entry: &Entry) -> Result<()> {
    let (uid, gid) = (fs::Uid::from_raw(entry.uid), fs::Gid::from_raw(entry.gid));
    fs::fchown(file, Some(uid), Some(gid)).map_err(std::io::Error::from)?;
    fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(std::io::Error::from)?;
    for (name, value) in &entry.attributes {
        // a label belongs to the policy of the system that it came from
        if name == b"security.selinux" {
            continue;
        }
        let shown = String::from_utf8_lossy(name);
        fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty())
            .map_err(|errno| Error::at(|| format!("cannot set the attribute {shown}"))(errno.into()))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests;
