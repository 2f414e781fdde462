//! [`Tree`]: a directory out of which no path leads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// The root directory of a file system tree.
///
/// Paths are taken relative to it, with or without a leading `/`. The kernel resolves them with
/// `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`: an absolute link in the tree leads to the tree's own files, and
/// `..` stops at its root.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    path: PathBuf,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// What the kernel knows of an entry, its last link not followed unless the call says so.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// What it takes on disk, in units of 512 bytes.
    pub blocks: u64,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    pub nlink: u64,
    pub dev: u64,
    pub ino: u64,
    /// Of a device node: major and minor number.
    pub rdev: (u32, u32),
}

impl Kind {
    /// The kind told by the type bits of a mode.
    pub fn from_raw_mode(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            _ => Self::File,
        }
    }
}

impl From<fs::Stat> for Stat {
    // the kernel's fields are narrower on some architectures
    #[allow(clippy::unnecessary_cast)]
    fn from(st: fs::Stat) -> Self {
        Self {
            kind: Kind::from_raw_mode(st.st_mode),
            mode: st.st_mode & 0o7777,
            uid: st.st_uid,
            gid: st.st_gid,
            size: st.st_size as u64,
            blocks: st.st_blocks as u64,
            mtime: (st.st_mtime, st.st_mtime_nsec as u32),
            nlink: st.st_nlink as u64,
            dev: st.st_dev,
            ino: st.st_ino,
            rdev: (fs::major(st.st_rdev), fs::minor(st.st_rdev)),
        }
    }
}

impl Tree {
    /// Opens the directory `path` as the root of a tree.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let root = fs::open(
            &path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| Error::errno("open", &path, e))?;
        Ok(Self { root, path })
    }

    /// The tree whose root directory is open already (`O_PATH` will do); `path` is where it lay then.
    pub fn at(root: OwnedFd, path: impl Into<PathBuf>) -> Self {
        Self {
            root,
            path: path.into(),
        }
    }

    /// Where the tree lies: for messages and for tools that are given a root directory. Never join a path to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root directory, opened with `O_PATH`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The subtree below the directory `path`, as a tree of its own.
    pub fn subtree(&self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let root = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, 0)?;
        Ok(Self {
            root,
            path: self.path.join(relative(path)),
        })
    }

    /// Opens `path` with raw flags (`O_CLOEXEC` is added), following links inside the tree.
    pub fn open_at(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let path = path.as_ref();
        let name = relative(path);
        let name = if name.as_os_str().is_empty() {
            Path::new(".")
        } else {
            name
        };
        let resolve = match fault::lifted!("in-root") {
            false => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            true => ResolveFlags::empty(),
        };
        loop {
            match fs::openat2(
                &self.root,
                name,
                flags | OFlags::CLOEXEC,
                Mode::from_raw_mode(mode),
                resolve,
            ) {
                // EAGAIN: something was renamed on the way while a `..` was resolved
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(|e| Error::errno("open", path, e)),
            }
        }
    }

    /// Opens the file `path` for reading.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        // a pipe planted in the tree must not block us
        Ok(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?.into())
    }

    /// Creates or truncates the file `path` (mode 0644 where it is new) and opens it for writing.
    pub fn create_file(&self, path: impl AsRef<Path>) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
        Ok(self.open_at(path, flags, 0o644)?.into())
    }

    /// The whole content of a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        self.open_file(path)?
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io("read", path, e))?;
        Ok(bytes)
    }

    /// The whole content of a text file; bytes that are not UTF-8 are replaced.
    pub fn read_text(&self, path: impl AsRef<Path>) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// Creates or truncates `path` with `content`: mode 0644 where it is new, else its mode stays.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let mut file = self.create_file(path)?;
        file.write_all(content.as_ref())
            .map_err(|e| Error::io("write", path, e))
    }

    /// Appends `content` to `path`, which is created where it is not there.
    pub fn append(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let fd = self.open_at(
            path,
            OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK,
            0o644,
        )?;
        File::from(fd)
            .write_all(content.as_ref())
            .map_err(|e| Error::io("write", path, e))
    }

    /// What `path` is, its last link not followed. `None` where it, or a directory on the way, is not there.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Stat>> {
        self.stat_with(path.as_ref(), OFlags::NOFOLLOW)
    }

    /// What `path` leads to, links followed inside the tree. `None` where nothing is there.
    pub fn stat_followed(&self, path: impl AsRef<Path>) -> Result<Option<Stat>> {
        self.stat_with(path.as_ref(), OFlags::empty())
    }

    fn stat_with(&self, path: &Path, flags: OFlags) -> Result<Option<Stat>> {
        match self.open_at(path, OFlags::PATH | flags, 0) {
            Ok(fd) => Ok(Some(
                fs::fstat(&fd).map_err(|e| Error::errno("stat", path, e))?.into(),
            )),
            Err(e) if e.is_not_found() => Ok(None),
            Err(Error::Io { cause, .. }) if cause.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Whether there is an entry `path`, be it a dangling link.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.stat(path), Ok(Some(_)))
    }

    /// Whether `path` leads to a directory.
    pub fn is_dir(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.stat_followed(path), Ok(Some(st)) if st.kind == Kind::Directory)
    }

    /// Whether `path` leads to a regular file.
    pub fn is_file(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.stat_followed(path), Ok(Some(st)) if st.kind == Kind::File)
    }

    /// The names in the directory `path`, sorted by bytes.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> {
        let path = path.as_ref();
        let dir = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        let mut names = Vec::new();
        for entry in fs::Dir::new(dir).map_err(|e| Error::errno("list", path, e))? {
            let name = entry
                .map_err(|e| Error::errno("list", path, e))?
                .file_name()
                .to_bytes()
                .to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The text of the symbolic link `path`.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        self.at_parent("read the link", path, |dir, name| {
            fs::readlinkat(dir, name, Vec::new())
        })
        .map(|target| PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Makes the directory `path`; it must not be there, its parent must. The mode is exact: no umask cuts it.
    pub fn mkdir(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        self.at_parent("make the directory", path, |dir, name| {
            fs::mkdirat(dir, name, Mode::from_raw_mode(mode & 0o777))?;
            fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
        })
    }

    /// Makes the directory `path` and those on the way where they are not there, each with mode 0755.
    pub fn mkdir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = relative(path.as_ref());
        if path.as_os_str().is_empty() || self.is_dir(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.mkdir_all(parent)?;
        }
        match self.mkdir(path, 0o755) {
            // somebody else made it meanwhile: as good
            Err(_) if self.is_dir(path) => Ok(()),
            made => made,
        }
    }

    /// Makes the symbolic link `path` with the text `target`; `path` must not be there.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        self.at_parent("make the link", path.as_ref(), |dir, name| {
            fs::symlinkat(target.as_ref(), dir, name)
        })
    }

    /// Makes `path` another name of the file `original`; links are not followed at its end.
    pub fn hard_link(&self, original: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let (path, original) = (path.as_ref(), original.as_ref());
        let (from, from_name) = self.parent_of(original)?;
        self.at_parent("make the hard link", path, |dir, name| {
            fs::linkat(&from, &from_name, dir, name, AtFlags::empty())
        })
    }

    /// Renames `from` to `to`, replacing a file there.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from_dir, from_name) = self.parent_of(from.as_ref())?;
        self.at_parent("rename to", to.as_ref(), |dir, name| {
            fs::renameat(&from_dir, &from_name, dir, name)
        })
    }

    /// Removes the file or link `path`.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        self.at_parent("remove", path.as_ref(), |dir, name| {
            fs::unlinkat(dir, name, AtFlags::empty())
        })
    }

    /// Removes `path` with all below it; a path that is not there is fine.
    pub fn remove_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match self.stat(path)? {
            None => Ok(()),
            Some(st) if st.kind == Kind::Directory => {
                for name in self.list(path)? {
                    self.remove_all(path.join(name))?;
                }
                self.at_parent("remove", path, |dir, name| {
                    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
                })
            }
            Some(_) => self.remove_file(path),
        }
    }

    /// Sets the twelve permission bits of what `path` leads to.
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        let fd = self.open_at(path, OFlags::PATH, 0)?;
        // O_PATH descriptors take no fchmod before fchmodat2 (6.6): go through the magic link of our own descriptor
        fs::chmod(self_fd(&fd), Mode::from_raw_mode(mode)).map_err(|e| Error::errno("chmod", path, e))
    }

    /// Sets owner and group of the entry `path` itself; `None` leaves one as it is.
    pub fn chown(&self, path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let path = path.as_ref();
        // to the kernel it means: as it is
        if [uid, gid].contains(&Some(u32::MAX)) {
            return Err(Error::Unsuitable {
                path: path.to_owned(),
                reason: format!("cannot belong to {}, which is nobody's number", u32::MAX),
            });
        }
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        let (uid, gid) = (uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw));
        fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(|e| Error::errno("chown", path, e))
    }

    /// Sets the modification (and access) time of the entry `path` itself.
    pub fn set_mtime(&self, path: impl AsRef<Path>, seconds: i64, nanoseconds: u32) -> Result<()> {
        let at = fs::Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        };
        let times = fs::Timestamps {
            last_access: at,
            last_modification: at,
        };
        self.at_parent("set the time of", path.as_ref(), |dir, name| {
            fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// A descriptor of the directory that holds `path`, and the last name of `path`.
    pub fn parent_of(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let path = relative(path);
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) => name.to_owned(),
            None => OsStr::new(".").to_owned(),
            Some(_) => {
                return Err(Error::Unsuitable {
                    path: path.to_owned(),
                    reason: "does not end in a name".into(),
                });
            }
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, 0)?, name))
    }

    fn at_parent<T>(
        &self,
        operation: &'static str,
        path: &Path,
        call: impl FnOnce(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let (dir, name) = self.parent_of(path)?;
        call(dir.as_fd(), &name).map_err(|e| Error::errno(operation, path, e))
    }
}

/// `/proc/self/fd/N`: the path of an open descriptor, for calls that take no `O_PATH` descriptor.
pub(crate) fn self_fd(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// `path` without its leading slashes.
fn relative(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|b| *b != b'/').unwrap_or(bytes.len());
    Path::new(OsStr::from_bytes(&bytes[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        (dir, tree)
    }

    #[test]
    fn an_absolute_link_stays_in_the_tree() {
        let (dir, tree) = tree();
        tree.mkdir_all("etc").unwrap();
        tree.symlink("/etc/real", "etc/link").unwrap();
        tree.write("/etc/link", "inside").unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("etc/real")).unwrap(),
            "inside"
        );
    }

    #[test]
    fn dots_stop_at_the_root() {
        let (_dir, tree) = tree();
        tree.mkdir_all("a").unwrap();
        tree.symlink("../../../../x", "a/up").unwrap();
        tree.write("a/up", "here").unwrap();
        assert_eq!(tree.read_text("x").unwrap(), "here");
    }

    #[test]
    fn nobodys_number_is_no_owner() {
        let (_dir, tree) = tree();
        tree.write("f", "").unwrap();
        for (uid, gid) in [(Some(u32::MAX), None), (Some(0), Some(u32::MAX))] {
            let error = tree.chown("f", uid, gid).unwrap_err().to_string();
            assert_eq!(error, "/f: cannot belong to 4294967295, which is nobody's number");
        }
    }

    #[test]
    fn modes_are_exact_and_kinds_are_told() {
        let (_dir, tree) = tree();
        tree.mkdir("t", 0o1777).unwrap();
        let st = tree.stat("t").unwrap().unwrap();
        assert_eq!((st.kind, st.mode), (Kind::Directory, 0o1777));
        assert!(tree.stat("nowhere/else").unwrap().is_none());
    }

    #[test]
    fn many_may_make_one_directory() {
        let (_dir, tree) = tree();
        let at_once = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..50 {
                        at_once.wait();
                        tree.mkdir_all(format!("{number}/a/b")).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn remove_all_takes_everything() {
        let (_dir, tree) = tree();
        tree.mkdir_all("a/b/c").unwrap();
        tree.write("a/b/c/f", "").unwrap();
        tree.remove_all("a").unwrap();
        assert!(!tree.exists("a"));
    }
}
