//! A tree into another directory: owners, modes, times, attributes, hard links, devices and holes.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::chain::Chain;
use crate::copy_file::copy_file_by;
use crate::prefetch::Prefetch;
use crate::shift::{Shift, chown};
use crate::walk::{Entry, Visitor, walk_both_ways};
use crate::xattr::{self, Attributes};
use crate::{Error, Kind, Result, Stat, Tree};

pub use crate::copy_file::copy_file;

const ACL_ACCESS: &CStr = c"system.posix_acl_access";
const ACL_DEFAULT: &CStr = c"system.posix_acl_default";

/// What a copy takes over beside content, permissions, times and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Owners and groups. Without it the copy is ours, and what is not ours at the source loses its set-id bits.
    pub ownership: bool,
    /// Attributes: `user.*`, `security.*` (labels, capabilities), `trusted.*` except overlayfs's own, and POSIX ACLs.
    pub attributes: bool,
    /// The inode flags that are kept for entries, as [`flags`](crate::flags) does it.
    pub flags: bool,
    /// Mode, owner, times and attributes of the root directory itself, as `cp -a from/. to` does.
    pub root: bool,
    /// What becomes of owners, where they are copied.
    pub shift: Shift,
    /// The copy leaves: nobody here will soon read it, and what of large files is not in memory does not enter it.
    pub leaves: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ownership: true,
            attributes: true,
            flags: true,
            root: true,
            shift: Shift::default(),
            leaves: false,
        }
    }
}

/// Merges the contents of `from` into the existing directory `to`, as `cp -a from/. to` does.
///
/// Files and links that are there already are replaced; a directory meets only a directory. No link at the destination
/// is followed. An attribute that cannot be set is an error: nothing is dropped in silence.
pub fn copy_tree(from: &Tree, to: &Tree, options: &Options) -> Result<()> {
    copy_tree_while(from, to, options, &|| true)
}

/// [`copy_tree`] that goes on while `goes_on` says so, which it is asked before each entry.
///
/// # Errors
/// [`Error::Stopped`], with the copy unfinished.
pub fn copy_tree_while(from: &Tree, to: &Tree, options: &Options, goes_on: &dyn Fn() -> bool) -> Result<()> {
    let mut copier = Copier {
        goes_on,
        from,
        prefetch: Prefetch::default(),
        shares: false,
        to,
        chain: Chain::new(),
        open: Vec::new(),
        links: HashMap::new(),
        options: *options,
    };
    walk_both_ways(from, &mut copier)
}

/// Gives the root directory of `to` the owner, mode, attributes and times of that of `from`, without any content.
pub fn copy_root(from: &Tree, to: &Tree) -> Result<()> {
    let (dot, path) = (OsStr::new("."), Path::new(""));
    let stat = fs::fstat(from.fd()).map_err(|e| Error::errno("stat", path, e))?;
    let entry = Entry {
        path,
        stat: stat.into(),
        dir: from.fd(),
        name: dot,
    };
    let options = Options::default();
    let attributes = attributes_of(&entry, &options)?;
    apply(to.fd(), dot, path, &entry.stat, &attributes, &options, false)
}

/// A directory that is being filled: what it gets at the end, since filling changes its times and may need permissions.
struct OpenDirectory {
    name: OsString,
    stat: Stat,
    attributes: Attributes,
    /// Its entries inherit a default ACL, which those of the source do not have.
    inherits: bool,
    /// Made by us, below a directory with a default ACL.
    inherited: bool,
}

struct Copier<'t> {
    goes_on: &'t dyn Fn() -> bool,
    from: &'t Tree,
    prefetch: Prefetch,
    /// Whether a copy shares its source's blocks: then none has to be read.
    shares: bool,
    to: &'t Tree,
    chain: Chain,
    open: Vec<OpenDirectory>,
    /// Device and inode of a file with several names → its first path.
    links: HashMap<(u64, u64), PathBuf>,
    options: Options,
}

impl Visitor for Copier<'_> {
    fn enter(&mut self, entry: &Entry<'_>) -> Result<()> {
        if !(self.goes_on)() {
            return Err(Error::Stopped);
        }
        if self.options.leaves && !self.shares {
            self.prefetch.reached(self.from, entry);
        }
        let path = entry.path;
        if path.as_os_str().is_empty() {
            let root = open_directory(self.to.fd(), OsStr::new("."), path)?;
            return self.descend(entry, root, false);
        }
        let inherited = self.open.last().is_some_and(|d| d.inherits);
        let dir = self.chain.top(path)?;
        if entry.stat.kind == Kind::Directory {
            let made = match fault::step!(fs::mkdirat(dir, entry.name, Mode::RWXU)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(e) => return Err(Error::errno("make the directory", path, e)),
            };
            let below = open_directory(dir, entry.name, path)?;
            return self.descend(entry, below, made && inherited);
        }
        let shared = entry.stat.nlink > 1;
        let inode = (entry.stat.dev, entry.stat.ino);
        if shared && let Some(first) = self.links.get(&inode) {
            make_room(dir, entry.name, path)?;
            return self.to.hard_link(first, path);
        }
        self.shares |= make_by(entry, dir, self.options.leaves)?;
        let attributes = attributes_of(entry, &self.options)?;
        apply(
            dir,
            entry.name,
            path,
            &entry.stat,
            &attributes,
            &self.options,
            inherited,
        )?;
        if shared {
            self.links.insert(inode, path.to_owned());
        }
        Ok(())
    }

    fn leave(&mut self, path: &Path) -> Result<()> {
        let Some(done) = self.open.pop() else {
            return Ok(());
        };
        self.chain.pop(path)?;
        if path.as_os_str().is_empty() {
            if self.options.root {
                let (dir, dot) = (self.to.fd(), OsStr::new("."));
                apply(dir, dot, path, &done.stat, &done.attributes, &self.options, false)?;
            }
            return Ok(());
        }
        let parent = self.chain.top(path)?;
        let (stat, attributes) = (&done.stat, &done.attributes);
        apply(
            parent,
            &done.name,
            path,
            stat,
            attributes,
            &self.options,
            done.inherited,
        )
    }
}

impl Copier<'_> {
    fn descend(&mut self, entry: &Entry<'_>, below: OwnedFd, inherited: bool) -> Result<()> {
        let default = xattr::get(below.as_fd(), OsStr::new("."), ACL_DEFAULT, entry.path)?;
        self.open.push(OpenDirectory {
            name: entry.name.to_owned(),
            stat: entry.stat,
            attributes: attributes_of(entry, &self.options)?,
            inherits: default.is_some(),
            inherited,
        });
        self.chain.push(below, entry.path)
    }
}

fn open_directory(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | crate::walk::no_link() | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty()).map_err(|e| match e {
        Errno::NOTDIR | Errno::LOOP => Error::Unsuitable {
            path: path.to_owned(),
            reason: "is a directory at the source, but something else is already at the destination".into(),
        },
        e => Error::errno("open", path, e),
    })
}

/// Copies an entry that is no directory, without its owner, times and attributes.
pub(crate) fn make(entry: &Entry<'_>, dir: BorrowedFd<'_>) -> Result<()> {
    make_by(entry, dir, false).map(drop)
}

/// [`make`] for a copy that may [leave](Options::leaves). Whether it shares blocks with what it is a copy of.
fn make_by(entry: &Entry<'_>, dir: BorrowedFd<'_>, leaves: bool) -> Result<bool> {
    let (path, name) = (entry.path, entry.name);
    make_room(dir, name, path)?;
    let node = |kind: FileType| {
        let (major, minor) = entry.stat.rdev;
        let device = fs::makedev(major, minor);
        fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, device)
            .map_err(|e| Error::errno("make the node", path, e))
    };
    let made = match entry.stat.kind {
        Kind::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to: File = fault::step!(fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR))
                .map_err(|e| Error::errno("create", path, e))?
                .into();
            return copy_file_by(&entry.open()?.into(), &to, leaves).map_err(|e| {
                // half a file passes for a whole one
                let _ = fs::unlinkat(dir, name, AtFlags::empty());
                match e {
                    Error::Io { operation, cause, .. } => Error::io(operation, path, cause),
                    other => other,
                }
            });
        }
        Kind::Symlink => {
            let target = entry.read_link()?;
            fault::step!(fs::symlinkat(&target, dir, name))
                .map_err(|e| Error::errno("make the link", path, e))
        }
        Kind::CharDevice => node(FileType::CharacterDevice),
        Kind::BlockDevice => node(FileType::BlockDevice),
        Kind::Fifo => node(FileType::Fifo),
        Kind::Socket => node(FileType::Socket),
        Kind::Directory => Ok(()),
    };
    made.map(|()| false)
}

/// Removes what is at a destination, unless that is a directory.
fn make_room(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(Error::Unsuitable {
            path: path.to_owned(),
            reason: "a directory is already at the destination, and is not replaced".into(),
        }),
        Err(e) => Err(Error::errno("replace", path, e)),
    }
}

/// The attributes of an entry that a copy takes over.
pub(crate) fn attributes_of(entry: &Entry<'_>, options: &Options) -> Result<Attributes> {
    if !options.attributes {
        return Ok(Attributes::new());
    }
    let mut attributes = xattr::read(entry.dir, entry.name, entry.path)?;
    attributes.retain(|(key, _)| {
        let starts = |prefix: &[u8]| key.starts_with(prefix);
        let wanted = starts(b"user.") || starts(b"security.") || starts(b"trusted.");
        let acl = [ACL_ACCESS, ACL_DEFAULT].iter().any(|a| a.to_bytes() == key);
        (wanted || acl) && !starts(b"trusted.overlay.")
    });
    if !options.flags {
        crate::flags::take(&mut attributes);
    }
    options.shift.attributes(&mut attributes);
    Ok(attributes)
}

/// Gives an entry all that is beside its content. The order matters: a change of owner takes set-id bits and
/// capabilities away, an ACL sets the group's permissions, and everything changes times.
pub(crate) fn apply(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    stat: &Stat,
    attributes: &Attributes,
    options: &Options,
    inherited: bool,
) -> Result<()> {
    let mut mode = stat.mode;
    if options.ownership {
        chown(
            dir,
            name,
            path,
            (options.shift.id(stat.uid), options.shift.id(stat.gid)),
        )?;
    } else if stat.kind == Kind::File && mode & 0o6000 != 0 {
        let made =
            fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| Error::errno("stat", path, e))?;
        if (made.st_uid, made.st_gid) != (stat.uid, stat.gid) {
            mode &= 0o1777;
        }
    }
    if stat.kind != Kind::Symlink {
        if inherited {
            for key in [ACL_ACCESS, ACL_DEFAULT] {
                xattr::remove(dir, name, key, path)?;
            }
        }
        fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(|e| Error::errno("chmod", path, e))?;
    }
    for (key, value) in attributes {
        xattr::set(dir, name, key, value, path)?;
    }
    let time = Timespec {
        tv_sec: stat.mtime.0,
        tv_nsec: stat.mtime.1.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    fault::step!(fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW))
        .map_err(|e| Error::errno("set the time of", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    fn shell(dir: &Path, script: &str) -> String {
        let out = Command::new("sh")
            .args(["-euc", script])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// What independent tools see of a tree; `cp -a` made the one it is compared with.
    const LIST: &str = "find . -printf '%P %y %m %U:%G %T@ %n %s %l\n' | awk '$2==\"d\"{$7=\"\"}1' | sort
        getfattr -Rhd -m - . | sort; find . -type f -exec sha256sum {} + | sort; find . -type b,c -exec stat -c '%n %t:%T' {} +
        getfacl -R . ";

    fn root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            println!("skipped: owners, devices and capabilities need root");
        }
        root
    }

    #[test]
    fn a_copy_is_what_cp_makes() {
        if !root() {
            return;
        }
        let dir = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        shell(
            dir.path(),
            "mkdir from ours theirs; cd from; mkdir -p a/b; echo x > a/b/f; ln a/b/f a/g; ln -s /etc l; mkfifo p
             mknod n c 5 1; mknod d b 8 1; chmod 6711 a/g; chown 12:34 a/g; setcap cap_net_raw+ep a/g; chown -h 3:4 l
             setfattr -n user.k -v v a; setfattr -n trusted.k -v 0x00ff a/b; truncate -s 40M s; echo e >> s; echo q > q
             python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' 2>/dev/null || :
             chmod 0 q; touch -hd @5.123456789 l a/b a/g; chmod 1555 a; touch -d @7 .; chown 5:6 .; chmod 2750 .",
        );
        let acl = Command::new("setfacl")
            .args(["-m", "u:9:r,d:u:7:rwx"])
            .arg(dir.path().join("from/a"))
            .status();
        println!("ACLs set: {acl:?}");
        let tree = |name| Tree::open(dir.path().join(name)).unwrap();
        shell(dir.path(), "cp -a from/. theirs");
        copy_tree(&tree("from"), &tree("ours"), &Options::default()).unwrap();
        let list = LIST.replace("getfacl -R .", if acl.is_ok() { "getfacl -R ." } else { "" });
        assert_eq!(
            shell(&dir.path().join("ours"), &list),
            shell(&dir.path().join("theirs"), &list)
        );
        assert!(dir.path().join("ours/s").metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn a_merge_replaces_files_and_keeps_what_else_is_there() {
        let dir = tempfile::tempdir().unwrap();
        shell(
            dir.path(),
            "mkdir -p from/d to/d outside; echo new > from/d/f; echo l > from/l; echo old > to/d/f; echo kept > to/d/k
             ln -s ../outside/victim to/l",
        );
        let tree = |name| Tree::open(dir.path().join(name)).unwrap();
        copy_tree(&tree("from"), &tree("to"), &Options::default()).unwrap();
        assert_eq!(shell(&dir.path().join("to"), "cat d/f d/k l"), "new\nkept\nl\n");
        assert!(!dir.path().join("outside/victim").exists());
    }

    #[test]
    fn a_link_at_the_destination_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        shell(
            dir.path(),
            "mkdir -p from/d to outside; echo x > from/d/f; ln -s ../outside to/d",
        );
        let tree = |name| Tree::open(dir.path().join(name)).unwrap();
        let error = copy_tree(&tree("from"), &tree("to"), &Options::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("/d: is a directory at the source"),
            "{error}"
        );
        assert!(!dir.path().join("outside/f").exists());
    }

    #[test]
    fn without_ownership_set_id_bits_of_strangers_go() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        shell(
            dir.path(),
            "mkdir from to; echo x > from/f; chown 5 from/f; chmod 4755 from/f",
        );
        let tree = |name| Tree::open(dir.path().join(name)).unwrap();
        let options = Options {
            ownership: false,
            ..Options::default()
        };
        copy_tree(&tree("from"), &tree("to"), &options).unwrap();
        let stat = tree("to").stat("f").unwrap().unwrap();
        assert_eq!((stat.mode, stat.uid), (0o755, 0));
    }
}
