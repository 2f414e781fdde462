//! Writing the files of a package into the tree, as `dpkg --unpack` would, without its scripts.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use module::{Context, Result, Tree, bail, ensure};
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

/// Names of pax records that carry an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

/// Writes tar entries into a tree. Directories that are there keep their owner and mode, links to directories are
/// followed (inside the tree), anything else is replaced.
#[derive(Debug)]
pub struct Extractor<'t> {
    tree: &'t Tree,
    /// The directory of the last entry: archives list a directory's files one after another.
    parent: Option<(PathBuf, OwnedFd)>,
}

/// What the header of an entry says of owner, mode and time.
struct Attributes {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    times: Timestamps,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl<'t> Extractor<'t> {
    /// One that writes into `tree`.
    pub fn new(tree: &'t Tree) -> Self {
        Self { tree, parent: None }
    }

    /// Writes the entries of `stream` for which `wanted` (given the path relative to the root) holds. Returns the
    /// paths of all of them, those left out included.
    pub fn extract(&mut self, stream: impl Read, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in Archive::new(stream).entries()? {
            let entry = entry.context("its data archive is damaged")?;
            let path = inside(&entry.path_bytes())?;
            if !path.as_os_str().is_empty() && wanted(&path) {
                self.write(entry, &path)
                    .with_context(|| format!("cannot extract /{}", path.display()))?;
            }
            paths.push(path);
        }
        Ok(paths)
    }

    fn write(&mut self, mut entry: Entry<'_, impl Read>, path: &Path) -> Result<()> {
        let attributes = Attributes::of(&mut entry)?;
        let name = path.file_name().context("it has no name")?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let file = self.create(path, |dir| {
                    let flags =
                        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
                })?;
                attributes.fill(file.into(), &mut entry)
            }
            EntryType::Directory => self.directory(path, &attributes),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().context("the link leads nowhere")?;
                let target = OsString::from_vec(target.into_owned());
                self.create(path, |dir| fs::symlinkat(&target, dir, name))?;
                attributes.apply_at(self.parent(path)?.as_fd(), name.as_ref(), false)
            }
            EntryType::Link => {
                let original = inside(&entry.link_name_bytes().context("the link leads nowhere")?)?;
                let (from, from_name) = self.tree.parent_of(&original)?;
                self.create(path, |dir| {
                    fs::linkat(&from, &from_name, dir, name, AtFlags::empty())
                })
            }
            EntryType::Fifo => {
                let make = |dir: &OwnedFd| fs::mknodat(dir, name, fs::FileType::Fifo, attributes.mode, 0);
                self.create(path, make)?;
                attributes.apply_at(self.parent(path)?.as_fd(), name.as_ref(), true)
            }
            EntryType::Char | EntryType::Block if path.starts_with("dev") => {
                println!("left out the device node /{}", path.display());
                Ok(())
            }
            other => bail!("entries of the type {other:?} have no place in a package"),
        }
    }

    /// Makes `path` with `make`, in the place of what may be there.
    fn create<T>(&mut self, path: &Path, make: impl Fn(&OwnedFd) -> rustix::io::Result<T>) -> Result<T> {
        match make(self.parent(path)?) {
            Err(Errno::EXIST) => {
                self.tree.remove_file(path)?;
                // it may have been a link on the way to the directory that is open
                self.parent = None;
                Ok(make(self.parent(path)?)?)
            }
            other => Ok(other?),
        }
    }

    fn directory(&mut self, path: &Path, attributes: &Attributes) -> Result<()> {
        let name = path.file_name().context("it has no name")?;
        match fs::mkdirat(self.parent(path)?, name, Mode::RWXU) {
            Ok(()) => attributes.apply_at(self.parent(path)?.as_fd(), name.as_ref(), true),
            Err(Errno::EXIST) => {
                ensure!(self.tree.is_dir(path), "something else than a directory is there");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The directory that holds `path`, made where it is not there.
    fn parent(&mut self, path: &Path) -> Result<&OwnedFd> {
        let wanted = path.parent().unwrap_or(Path::new(""));
        let open = match self.parent.take() {
            Some(open) if open.0 == wanted => open,
            _ => {
                self.tree.mkdir_all(wanted)?;
                let fd = self.tree.open_at(wanted, OFlags::PATH | OFlags::DIRECTORY, 0)?;
                (wanted.to_owned(), fd)
            }
        };
        Ok(&self.parent.insert(open).1)
    }
}

impl Attributes {
    fn of(entry: &mut Entry<'_, impl Read>) -> Result<Self> {
        let mut xattrs = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            if let Some(name) = record.key().ok().and_then(|key| key.strip_prefix(XATTR)) {
                xattrs.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
        let header = entry.header();
        let id = |id: std::io::Result<u64>| {
            // the last number is nobody's: to the kernel it means not to change the owner
            let id = u32::try_from(id?).ok().filter(|id| *id != u32::MAX);
            id.context("its owner is out of range")
        };
        let at = Timespec {
            tv_sec: i64::try_from(header.mtime()?).unwrap_or(0),
            tv_nsec: 0,
        };
        Ok(Self {
            uid: Uid::from_raw(id(header.uid())?),
            gid: Gid::from_raw(id(header.gid())?),
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            times: Timestamps {
                last_access: at,
                last_modification: at,
            },
            xattrs,
        })
    }

    /// Writes the content of `entry` into the new `file` and dresses it. Owner first: a change of owner takes the
    /// setuid bit and capabilities away.
    fn fill(&self, mut file: File, entry: &mut impl Read) -> Result<()> {
        std::io::copy(entry, &mut file)?;
        fs::fchown(&file, Some(self.uid), Some(self.gid))?;
        fs::fchmod(&file, self.mode)?;
        for (name, value) in &self.xattrs {
            fs::fsetxattr(&file, name, value, XattrFlags::empty())
                .with_context(|| format!("cannot set its attribute {name}"))?;
        }
        Ok(fs::futimens(&file, &self.times)?)
    }

    fn apply_at(&self, dir: std::os::fd::BorrowedFd<'_>, name: &Path, with_mode: bool) -> Result<()> {
        fs::chownat(
            dir,
            name,
            Some(self.uid),
            Some(self.gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if with_mode {
            fs::chmodat(dir, name, self.mode, AtFlags::empty())?;
        }
        Ok(fs::utimensat(dir, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// The path of an archive member relative to the root of the tree; one that leads out of it is refused.
fn inside(member: &[u8]) -> Result<PathBuf> {
    let member = Path::new(std::ffi::OsStr::from_bytes(member));
    let mut path = PathBuf::new();
    for component in member.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => bail!("its member `{}` leads out of the tree", member.display()),
        }
    }
    Ok(path)
}
