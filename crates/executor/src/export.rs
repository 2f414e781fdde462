//! Handing a finished tree out of the store.

mod flags;

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use store::{Object, Scratch};
use tree::Tree;
use tree::copy::{Options, copy_root, copy_tree_while};

use crate::{Cancel, Error, Result};

/// Where a tree goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub dir: PathBuf,
    /// Whether files keep their owners; without it they belong to whoever runs us.
    pub ownership: bool,
    /// Whether the directory is the tree's alone: it gets owner, mode and time of the tree's root, and is no link.
    pub root: bool,
}

impl Destination {
    /// Makes the directory where it is not there and checks that it is one: before anything is built.
    ///
    /// # Errors
    /// It is a file, or cannot be made.
    pub fn prepare(dir: &Path) -> Result<()> {
        sandbox::as_caller(|| fault::step!(std::fs::create_dir_all(dir))).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Error::io(
                "use as output directory",
                dir,
                std::io::Error::other("it is not a directory"),
            ),
            _ => Error::io("make the output directory", dir, e),
        })
    }

    /// Checks that no link lies where the tree's own directory goes: before anything is built. Who can write beside it would
    /// have us write elsewhere.
    ///
    /// # Errors
    /// There is one.
    pub fn refuse_link(&self) -> Result<()> {
        let link = std::fs::symlink_metadata(&self.dir).is_ok_and(|entry| entry.is_symlink());
        match link && self.root && !fault::lifted!("export-links") {
            true => Err(is_a_link(&self.dir)),
            false => Ok(()),
        }
    }

    /// Checks that the directory has a directory, or nothing, wherever the tree has one, and none where the tree has a file:
    /// before anything is handed out.
    ///
    /// # Errors
    /// It is not so.
    pub fn refuse_clash(&self, object: Option<&Object>) -> Result<()> {
        let something = |mut entries: std::fs::ReadDir| entries.next().is_some();
        let meets = sandbox::as_caller(|| std::fs::read_dir(&self.dir).is_ok_and(something));
        let Some(object) = object.filter(|_| meets) else {
            return Ok(());
        };
        let merged = sandbox::overlay::Merged::open(&object.layers())?;
        let from = Tree::open(merged.path())?;
        sandbox::as_caller(|| refuse_clash(&from, &self.open()?))
    }

    /// Makes the directory where it is not there and opens it, once: from here on it may be renamed, and something else be in
    /// its place.
    fn open(&self) -> Result<Tree> {
        Self::prepare(&self.dir)?;
        let parts = (self.dir.parent(), self.dir.file_name());
        let (true, (Some(parent), Some(name))) = (self.root && !fault::lifted!("export-links"), parts) else {
            return Ok(Tree::open(&self.dir)?);
        };
        self.refuse_link()?;
        let parent = Tree::open(parent)?;
        // by one name, and the root of what it is resolved in is its directory: no link leads out of that
        match parent.open_at(name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0) {
            Ok(fd) => Ok(Tree::at(fd, &self.dir)),
            Err(_) => {
                self.refuse_link()?;
                Err(is_a_link(&self.dir))
            }
        }
    }

    /// Puts a copy of the contents of the tree into the directory, over what is there. Never a hard link into the store.
    ///
    /// The copy is made in a hidden directory beside its place and then moved there, each file whole. A caller that is not
    /// root owns all of it.
    ///
    /// # Errors
    /// A file cannot be copied: no space, no permission. Or the build was interrupted before anything was in its place.
    pub fn export(&self, object: Option<&Object>, cancel: &Cancel) -> Result<()> {
        let _span = trace::span("export").with("to", self.dir.display().to_string());
        let to = sandbox::as_caller(|| self.open())?;
        let Some(object) = object else { return Ok(()) };
        let merged = sandbox::overlay::Merged::open(&object.layers())?;
        let from = Tree::open(merged.path())?;
        let flagged = match self.ownership && !sandbox::is_for_caller() {
            true => flags::kept(object)?,
            false => Vec::new(),
        };
        // what an earlier export left cannot be replaced otherwise
        flags::clear(&to, &flagged);
        sandbox::as_caller(|| self.fill(&to, &from, cancel))?;
        flags::set(&to, &flagged, self.root);
        Ok(())
    }

    fn fill(&self, to: &Tree, from: &Tree, cancel: &Cancel) -> Result<()> {
        let scratch = Scratch::hidden_in(&fd_path(to)).map_err(|e| match e {
            store::Error::Io {
                operation, source, ..
            } => Error::io(operation, self.dir.join("a hidden directory"), source),
            other => other.into(),
        })?;
        let hidden = to.subtree(scratch.path().file_name().unwrap_or_default())?;
        fault::step!(rustix::fs::mkdirat(
            hidden.fd(),
            "tree",
            Mode::from_raw_mode(0o755)
        ))
        .map_err(|e| Error::io("make a directory in", &self.dir, e))?;
        let draft = hidden.subtree("tree")?;
        let options = Options {
            ownership: self.ownership && !sandbox::is_for_caller(),
            root: self.root,
            flags: false,
            leaves: true,
            ..Options::default()
        };
        match copy_tree_while(from, &draft, &options, &|| !cancel.is_cancelled()) {
            Err(tree::Error::Stopped) => return Err(Error::Cancelled),
            other => other.map_err(|cause| Error::Export {
                dir: self.dir.clone(),
                cause,
            })?,
        }
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        place(&draft, to, self.root)?;
        let time = to.stat("")?.map(|stat| stat.mtime);
        drop(scratch);
        // it was in there, and its going counts as a change
        match time.filter(|_| self.root) {
            Some(time) => set_time(to, time),
            None => Ok(()),
        }
    }
}

/// The path of an open directory, whatever lies meanwhile where it was found.
fn fd_path(tree: &Tree) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", tree.fd().as_raw_fd()))
}

fn is_a_link(dir: &Path) -> Error {
    let reason = "it is a link, and what is handed out goes through none: remove it, or name where it leads";
    Error::io("use as output directory", dir, std::io::Error::other(reason))
}

/// Whether an entry is a directory, which a link to one is not; `None` where nothing is there.
fn is_directory(tree: &Tree, name: &Path) -> Result<Option<bool>> {
    let stat = match fault::lifted!("export-links") {
        false => tree.stat(name)?,
        true => tree.stat_followed(name)?,
    };
    Ok(stat.map(|stat| stat.kind == tree::Kind::Directory))
}

/// Checks that [`place`] would meet a directory, or nothing, wherever it has one, and none where it has a file.
fn refuse_clash(from: &Tree, to: &Tree) -> Result<()> {
    for name in from.list("")? {
        let path = Path::new(&name);
        let reason = match (is_directory(from, path)?, is_directory(to, path)?) {
            (Some(true), Some(true)) => {
                refuse_clash(&from.subtree(path)?, &to.subtree(path)?)?;
                continue;
            }
            (Some(true), Some(false)) => "a file is there, and a directory belongs there",
            (Some(false), Some(true)) => "a directory is there, and a file belongs there",
            _ => continue,
        };
        let reason = format!("{reason}: remove it, or name another directory");
        return Err(Error::io(
            "put the result at",
            to.path().join(path),
            std::io::Error::other(reason),
        ));
    }
    Ok(())
}

/// Moves all entries of `from` into `to`: in the place of files, into directories that are there already. With `root`
/// the directory itself becomes as `from` is.
fn place(from: &Tree, to: &Tree, root: bool) -> Result<()> {
    let here = Path::new("");
    let directory = |tree: &Tree, name: &Path| is_directory(tree, name).map(|is| is == Some(true));
    let time = from.stat(here)?.map(|stat| stat.mtime);
    for name in from.list(here)? {
        let path = Path::new(&name);
        if directory(from, path)? && directory(to, path)? {
            place(&from.subtree(path)?, &to.subtree(path)?, true)?;
        } else {
            fault::step!(rustix::fs::renameat(from.fd(), path, to.fd(), path))
                .map_err(|e| Error::io("put the result at", to.path().join(path), e))?;
        }
    }
    if let Some(time) = time.filter(|_| root) {
        // it was changed by what was moved out
        set_time(from, time)?;
        copy_root(from, to)?;
    }
    Ok(())
}

/// Sets the time of a tree's root: seconds and nanoseconds.
fn set_time(tree: &Tree, (seconds, nanoseconds): (i64, u32)) -> Result<()> {
    let time = rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let none = rustix::fs::AtFlags::empty();
    fault::step!(rustix::fs::utimensat(tree.fd(), ".", &times, none))
        .map_err(|e| Error::io("set the time of", tree.path(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_replaced_or_merged() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["from", "to"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let tree = |name: &str| Tree::open(dir.path().join(name)).unwrap();
        let (from, to) = (tree("from"), tree("to"));
        for (tree, text) in [(&from, "new"), (&to, "old")] {
            tree.mkdir_all("both/deep").unwrap();
            tree.write("both/deep/file", text).unwrap();
            tree.write(format!("both/{text}"), text).unwrap();
        }
        from.symlink("both/new", "link").unwrap();
        to.write("link", "no link").unwrap();
        from.chmod("both", 0o700).unwrap();
        from.set_mtime("both", 1000, 5).unwrap();
        place(&from, &to, false).unwrap();
        assert_eq!(to.read_text("both/deep/file").unwrap(), "new");
        assert_eq!(to.list("both").unwrap(), ["deep", "new", "old"]);
        assert_eq!(to.read_link("link").unwrap(), Path::new("both/new"));
        let both = to.stat("both").unwrap().unwrap();
        assert_eq!((both.mode, both.mtime), (0o700, (1000, 5)));
        from.mkdir("link", 0o755).unwrap();
        let error = place(&from, &to, false).unwrap_err().to_string();
        assert!(error.starts_with("cannot put the result at"), "{error}");
    }

    #[test]
    fn a_directory_and_a_file_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["from", "to"] {
            std::fs::create_dir_all(dir.path().join(name).join("both/deep")).unwrap();
        }
        let tree = |name: &str| Tree::open(dir.path().join(name)).unwrap();
        let (from, to) = (tree("from"), tree("to"));
        from.write("a", "new").unwrap();
        from.symlink("nowhere", "both/link").unwrap();
        to.write("both/link", "old").unwrap();
        from.mkdir("both/new", 0o755).unwrap();
        refuse_clash(&from, &to).unwrap();
        let clash = |path: &str| {
            let error = refuse_clash(&from, &to).unwrap_err().to_string();
            let path = dir.path().join("to/both/deep").join(path);
            error
                .strip_prefix(&format!("cannot put the result at {}: ", path.display()))
                .map(str::to_owned)
        };
        let what = "a file is there, and a directory belongs there: remove it, or name another directory";
        // a link to a directory is none
        from.mkdir("both/deep/x", 0o755).unwrap();
        to.symlink("..", "both/deep/x").unwrap();
        assert_eq!(clash("x").as_deref(), Some(what));
        to.remove_file("both/deep/x").unwrap();
        from.symlink("..", "both/deep/y").unwrap();
        to.mkdir("both/deep/y", 0o755).unwrap();
        let what = "a directory is there, and a file belongs there: remove it, or name another directory";
        assert_eq!(clash("y").as_deref(), Some(what));
        assert_eq!(to.list("").unwrap(), ["both"], "nothing was moved");
    }
}
