//! Writing the files of a package into the tree, as `dpkg --unpack` would, without its scripts.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use archive::extract::inside;
use archive::tar::{Entry, Kind, Reader};
use module::{Context, Result, Tree, bail, ensure};
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::archive::Deb;
use super::plan::Set;
use super::{ahead, layout};

/// dpkg's name for a configuration file that was unpacked but not yet compared with the one that may be there.
pub const NEW: &str = ".dpkg-new";
/// Bytes written at once.
const BUFFER: usize = 1 << 17;

/// The order in which all packages are extracted: the top directories get their owners and modes from
/// base-files, those below from the packages of `first`.
pub fn order(debs: &[Deb], first: &Set) -> Vec<usize> {
    let mut order: Vec<usize> = (0..debs.len()).collect();
    order.sort_by_key(|i| (debs[*i].control.package() != "base-files", !first.contains(i)));
    order
}

/// Extracts the files of packages, uncompressing several at once, to the places that `place` says for the package of
/// a number and a path. Returns what each has.
pub fn all(tree: &Tree, debs: &[&Deb], place: impl Fn(usize, &Path) -> Place) -> Result<Vec<Vec<Found>>> {
    let base_files = debs.iter().find(|deb| deb.control.package() == "base-files");
    layout::merge_usr(tree, base_files.copied())?;
    let mut extractor = Extractor::new(tree);
    let mut found = Vec::new();
    ahead::for_each(debs, |data| {
        let number = found.len();
        found.push(extractor.extract_to(data, |path| place(number, path))?);
        Ok(())
    })?;
    Ok(found)
}

/// Where an entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is left out.
    Nowhere,
    /// To its path.
    There,
    /// Beside its path, under its name with [`NEW`].
    Beside,
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the root; empty for the root itself.
    pub path: PathBuf,
    pub is_directory: bool,
}

/// Writes tar entries into a tree. Directories that are there keep their owner and mode, links to directories are
/// followed (inside the tree), anything else is replaced.
#[derive(Debug)]
pub struct Extractor<'t> {
    tree: &'t Tree,
    /// The directory of the last entry: archives list a directory's files one after another.
    parent: Option<(PathBuf, OwnedFd)>,
    buffer: Vec<u8>,
}

/// What the header of an entry says of owner, mode and time.
struct Attributes {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    times: Timestamps,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'t> Extractor<'t> {
    /// One that writes into `tree`.
    pub fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            parent: None,
            buffer: vec![0; BUFFER],
        }
    }

    /// Writes the entries of `stream` for which `wanted` (given the path relative to the root) holds. Returns
    /// all of them, those left out included.
    pub fn extract(&mut self, stream: impl Read, wanted: impl Fn(&Path) -> bool) -> Result<Vec<Found>> {
        self.extract_to(stream, |path| match wanted(path) {
            true => Place::There,
            false => Place::Nowhere,
        })
    }

    /// [`Self::extract`], each entry to the place that `place` says.
    pub fn extract_to(&mut self, stream: impl Read, place: impl Fn(&Path) -> Place) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        let mut reader = Reader::new(stream);
        while let Some(mut entry) = reader.entry().context("its data archive is damaged")? {
            let path = inside(&entry.path)?;
            let is_directory = entry.kind == Kind::Directory;
            let place_of_entry = match path.as_os_str().is_empty() {
                true => Place::Nowhere,
                false => place(&path),
            };
            if place_of_entry != Place::Nowhere {
                if entry.kind == Kind::HardLink {
                    let original = inside(&entry.link)?;
                    entry.link = match place(&original) {
                        Place::Beside => beside(&original).into_os_string().into_vec(),
                        _ => original.into_os_string().into_vec(),
                    };
                }
                let target = match place_of_entry {
                    Place::Beside => beside(&path),
                    _ => path.clone(),
                };
                self.write(&entry, &mut reader, &target)
                    .with_context(|| format!("cannot extract /{}", path.display()))?;
            }
            all.push(Found { path, is_directory });
        }
        Ok(all)
    }

    fn write(&mut self, entry: &Entry, reader: &mut Reader<impl Read>, path: &Path) -> Result<()> {
        let attributes = Attributes::of(entry);
        let name = path.file_name().context("it has no name")?;
        match entry.kind {
            Kind::File => {
                ensure!(entry.ranges.is_none(), "sparse files have no place in a package");
                let file = self.create(path, |dir| {
                    let flags =
                        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
                })?;
                let mut file = File::from(file);
                self.fill(&mut file, entry.size, reader)?;
                attributes.apply(&file)
            }
            Kind::Directory => self.directory(path, &attributes),
            Kind::Symlink => {
                ensure!(!entry.link.is_empty(), "the link leads nowhere");
                let target = OsStr::from_bytes(&entry.link);
                self.create(path, |dir| fs::symlinkat(target, dir, name))?;
                attributes.apply_at(self.parent(path)?.as_fd(), name.as_ref(), false)
            }
            Kind::HardLink => {
                let (from, from_name) = self.tree.parent_of(Path::new(OsStr::from_bytes(&entry.link)))?;
                self.create(path, |dir| {
                    fs::linkat(&from, &from_name, dir, name, AtFlags::empty())
                })
            }
            Kind::Fifo => {
                let make = |dir: &OwnedFd| fs::mknodat(dir, name, fs::FileType::Fifo, attributes.mode, 0);
                self.create(path, make)?;
                attributes.apply_at(self.parent(path)?.as_fd(), name.as_ref(), true)
            }
            Kind::CharDevice | Kind::BlockDevice if path.starts_with("dev") => {
                println!("left out the device node /{}", path.display());
                Ok(())
            }
            other => bail!("entries of the type {other:?} have no place in a package"),
        }
    }

    fn fill(&mut self, file: &mut File, mut left: u64, reader: &mut Reader<impl Read>) -> Result<()> {
        let mut content = reader.content();
        while left > 0 {
            let length = left.min(BUFFER as u64) as usize;
            content.read_exact(&mut self.buffer[..length])?;
            file.write_all(&self.buffer[..length])?;
            left -= length as u64;
        }
        Ok(())
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
    fn of(entry: &Entry) -> Self {
        let at = Timespec {
            tv_sec: entry.mtime.0,
            tv_nsec: entry.mtime.1.into(),
        };
        Self {
            uid: Uid::from_raw(entry.uid),
            gid: Gid::from_raw(entry.gid),
            mode: Mode::from_raw_mode(entry.mode),
            times: Timestamps {
                last_access: at,
                last_modification: at,
            },
            xattrs: entry.attributes.clone(),
        }
    }

    /// Dresses a new file that has its content. Owner first: a change of owner takes the setuid bit and
    /// capabilities away.
    fn apply(&self, file: &File) -> Result<()> {
        fs::fchown(file, Some(self.uid), Some(self.gid))?;
        fs::fchmod(file, self.mode)?;
        for (name, value) in &self.xattrs {
            let name = OsStr::from_bytes(name);
            fs::fsetxattr(file, name, value, XattrFlags::empty())
                .with_context(|| format!("cannot set its attribute {}", name.display()))?;
        }
        Ok(fs::futimens(file, &self.times)?)
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

/// The path of `path` until it is configured.
pub fn beside(path: &Path) -> PathBuf {
    let mut new: OsString = path.as_os_str().to_owned();
    new.push(NEW);
    new.into()
}
