//! A repository on disk.
//!
//! ```text
//! config                         [core] repo_version=1, mode=…
//! objects/XX/YYY….dirtree        metadata objects: their bytes
//! objects/XX/YYY….filez          archive: header, then the content as a raw deflate stream
//! objects/XX/YYY….file           bare-user: the content; the rest in the attribute user.ostreemeta
//! refs/heads/NAME                the commit's checksum and a newline
//! ```

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tree::Tree;

use crate::file_object::{FileObject, Source};
use crate::object::{Checksum, Commit, Kind, dirtree};
use crate::{Content, Error, Node, Result};

/// The directories of every repository.
pub(crate) const DIRECTORIES: [&str; 7] = [
    "extensions",
    "objects",
    "refs/heads",
    "refs/mirrors",
    "refs/remotes",
    "state",
    "tmp/cache",
];

/// How a repository keeps files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `archive`: compressed, to be served to others.
    Archive,
    /// `bare-user`: as plain files of whoever writes it.
    BareUser,
}

/// A repository to write into.
#[derive(Debug)]
pub struct Repo {
    root: Tree,
    mode: Mode,
    /// The folders below `objects` that are there.
    folders: Mutex<HashSet<u8>>,
}

impl Mode {
    /// As in the repository's `config`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive-z2",
            Self::BareUser => "bare-user",
        }
    }

    pub(crate) fn file_extension(self) -> &'static str {
        match self {
            Self::Archive => "filez",
            Self::BareUser => "file",
        }
    }
}

impl Repo {
    /// Makes an empty repository in the directory `path` of `parent`, which must not be there.
    pub fn create_in(parent: &Tree, path: impl AsRef<Path>, mode: Mode) -> Result<Self> {
        let path = path.as_ref();
        parent.mkdir(path, 0o755)?;
        let root = parent.subtree(path)?;
        for directory in DIRECTORIES {
            root.mkdir_all(directory)?;
        }
        root.write(
            "config",
            format!("[core]\nrepo_version=1\nmode={}\n", mode.name()),
        )?;
        Ok(Self {
            root,
            mode,
            folders: Mutex::default(),
        })
    }

    /// How it keeps files.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Stores all objects of `root`, whose files lie in `tree`. Returns the root's dirtree and dirmeta.
    ///
    /// # Errors
    /// A name that is not UTF-8, a device, pipe or socket; a file that changes while it is read.
    pub fn write_tree(&self, tree: &Tree, root: &Node) -> Result<(Checksum, Checksum)> {
        let mut files = Vec::new();
        collect(Path::new(""), root, &mut files)?;
        let checksums = self.write_files(tree, &files)?;
        let mut next = checksums.into_iter();
        self.write_directory(root, &mut next)
    }

    /// Stores the files on all processors; the checksums are in the order of `files`.
    fn write_files(&self, tree: &Tree, files: &[(PathBuf, &Node)]) -> Result<Vec<Checksum>> {
        // further names of an inode are the same object
        let mut first = HashMap::new();
        let mut same_as = Vec::with_capacity(files.len());
        for (at, (_, node)) in files.iter().enumerate() {
            same_as.push(match node {
                Node::File {
                    content: Content::Tree { inode, .. },
                    ..
                } => *first.entry(*inode).or_insert(at),
                _ => at,
            });
        }
        let results: Vec<Mutex<Option<Result<Checksum>>>> = files.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= files.len() || failed.load(Ordering::Relaxed) > 0 {
                    return;
                }
                if same_as[at] == at {
                    let (path, node) = &files[at];
                    let result = self.write_file(tree, path, node, at);
                    failed.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
                    *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(16);
        thread::scope(|scope| {
            (1..workers).for_each(|_| {
                scope.spawn(work);
            });
            work();
        });
        let mut checksums = Vec::with_capacity(files.len());
        for result in results {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            checksums.push(result.transpose()?);
        }
        let resolved = same_as.iter().filter_map(|at| checksums[*at]).collect::<Vec<_>>();
        debug_assert_eq!(resolved.len(), files.len());
        Ok(resolved)
    }

    fn write_file(&self, tree: &Tree, path: &Path, node: &Node, at: usize) -> Result<Checksum> {
        let (meta, source) = match node {
            Node::File { meta, content } => (meta, Source::Content(content)),
            Node::Symlink { meta, target } => (meta, Source::Target(text(path, target.as_os_str())?)),
            Node::Directory { .. } | Node::Special => {
                return Err(entry(path, "OSTree has no devices, pipes and sockets: remove it"));
            }
        };
        FileObject { path, meta, source }.store(self, tree, &format!("new-{at}"))
    }

    /// Stores the directory, its files' checksums being the next ones of `files`.
    fn write_directory(
        &self,
        directory: &Node,
        files: &mut dyn Iterator<Item = Checksum>,
    ) -> Result<(Checksum, Checksum)> {
        let (mut file_list, mut directory_list) = (Vec::new(), Vec::new());
        for (name, node) in directory.children() {
            let name = text(Path::new(name), name)?.to_owned();
            if let Node::Directory { .. } = node {
                let (tree, meta) = self.write_directory(node, files)?;
                directory_list.push((name, tree, meta));
            } else if let Some(checksum) = files.next() {
                file_list.push((name, checksum));
            }
        }
        let tree = self.write_object(Kind::DirTree, &dirtree(&file_list, &directory_list))?;
        let meta = directory.meta().map(|meta| meta.dirmeta()).unwrap_or_default();
        Ok((tree, self.write_object(Kind::DirMeta, &meta)?))
    }

    /// Stores a commit of the tree whose root has these checksums.
    pub fn write_commit(&self, commit: &Commit, root: (Checksum, Checksum)) -> Result<Checksum> {
        self.write_object(Kind::Commit, &commit.object(root.0, root.1))
    }

    fn write_object(&self, kind: Kind, bytes: &[u8]) -> Result<Checksum> {
        let checksum = Checksum::of(bytes);
        let temporary = "tmp/new-metadata";
        self.root.write(temporary, bytes)?;
        self.publish(temporary, checksum, kind.extension())?;
        Ok(checksum)
    }

    /// Points the ref `name` at a commit.
    pub fn set_ref(&self, name: &str, commit: Checksum) -> Result<()> {
        check_ref(name)?;
        let path = Path::new("refs/heads").join(name);
        self.root.mkdir_all(path.parent().unwrap_or(&path))?;
        Ok(self.root.write(&path, format!("{commit}\n"))?)
    }

    pub(crate) fn create(&self, path: &str) -> Result<File> {
        Ok(self.root.create_file(path)?)
    }

    /// Gives a finished object its name.
    pub(crate) fn publish(&self, temporary: &str, checksum: Checksum, extension: &str) -> Result<()> {
        let hex = checksum.to_string();
        let folder = format!("objects/{}", &hex[..2]);
        {
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            if folders.insert(checksum.0[0]) {
                self.root.mkdir_all(&folder)?;
            }
        }
        Ok(self
            .root
            .rename(temporary, format!("{folder}/{}.{extension}", &hex[2..]))?)
    }

    pub(crate) fn failed(&self, operation: &'static str, path: &str, source: io::Error) -> Error {
        Error::Repository {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Refuses what `ostree` would not take as a ref (ostree-core.c, `ostree_validate_rev`).
pub(crate) fn check_ref(name: &str) -> Result<()> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    if name.split('/').all(part) {
        return Ok(());
    }
    Err(Error::Name {
        text: name.to_owned(),
        what: "a ref: letters, digits, `-`, `.` and `_` between slashes, such as fedora/39/x86_64/iot",
    })
}

/// All entries but directories, in the order [`Repo::write_directory`] comes by them.
fn collect<'a>(path: &Path, node: &'a Node, files: &mut Vec<(PathBuf, &'a Node)>) -> Result<()> {
    for (name, child) in node.children() {
        let path = path.join(name);
        text(&path, name)?;
        match child {
            Node::Directory { .. } => collect(&path, child, files)?,
            _ => files.push((path, child)),
        }
    }
    Ok(())
}

fn text<'a>(path: &Path, text: &'a OsStr) -> Result<&'a str> {
    text.to_str()
        .ok_or_else(|| entry(path, "its name or target is not UTF-8, which OSTree wants"))
}

fn entry(path: &Path, reason: &str) -> Error {
    Error::Entry {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}
