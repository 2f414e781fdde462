//! A tree as it is to be committed: entries in memory, the content of files left where it lies.
//!
//! An entry can be moved, replaced or added before the commit, with the tree on disk untouched.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use tree::Tree;
use tree::walk::{Entry, walk};

use crate::object::Meta;
use crate::{Error, Result};

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Directory {
        meta: Meta,
        children: BTreeMap<OsString, Node>,
    },
    File {
        meta: Meta,
        content: Content,
    },
    Symlink {
        meta: Meta,
        target: PathBuf,
    },
    /// A device, pipe or socket: there is no object for these.
    Special,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The file `path` of the tree; files of one `inode` (device, number) are read once.
    Tree {
        path: PathBuf,
        size: u64,
        inode: (u64, u64),
    },
    Bytes(Vec<u8>),
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

impl Node {
    /// An empty directory of root's; `mode` are the permission bits.
    pub fn directory(mode: u32) -> Self {
        Self::Directory {
            meta: Meta::of_root(DIRECTORY | mode),
            children: BTreeMap::new(),
        }
    }

    /// A file of root's.
    pub fn file(mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self::File {
            meta: Meta::of_root(FILE | mode),
            content: Content::Bytes(content.into()),
        }
    }

    /// A symbolic link of root's.
    pub fn symlink(target: impl Into<PathBuf>) -> Self {
        Self::Symlink {
            meta: Meta::of_root(SYMLINK | 0o777),
            target: target.into(),
        }
    }

    /// All entries of `tree`.
    pub fn read(tree: &Tree) -> Result<Self> {
        let mut root = None;
        walk(tree, &mut |entry| {
            let node = Self::of_entry(entry)?;
            match (&mut root, entry.path.file_name()) {
                (Some(root), Some(name)) => {
                    let parent = entry.path.parent().unwrap_or(Path::new(""));
                    if let Some(Self::Directory { children, .. }) = Self::find(root, parent) {
                        children.insert(name.to_owned(), node);
                    }
                }
                _ => root = Some(node),
            }
            Ok(())
        })?;
        Ok(root.unwrap_or_else(|| Self::directory(0o755)))
    }

    fn of_entry(entry: &Entry<'_>) -> tree::Result<Self> {
        let st = &entry.stat;
        let kind = match st.kind {
            tree::Kind::Directory => DIRECTORY,
            tree::Kind::File => FILE,
            tree::Kind::Symlink => SYMLINK,
            _ => return Ok(Self::Special),
        };
        let meta = Meta {
            uid: st.uid,
            gid: st.gid,
            mode: kind | st.mode,
            attributes: entry.attributes()?,
        };
        Ok(match st.kind {
            tree::Kind::Directory => Self::Directory {
                meta,
                children: BTreeMap::new(),
            },
            tree::Kind::Symlink => Self::Symlink {
                meta,
                target: entry.read_link()?,
            },
            _ => Self::File {
                meta,
                content: Content::Tree {
                    path: entry.path.to_owned(),
                    size: st.size,
                    inode: (st.dev, st.ino),
                },
            },
        })
    }

    fn find<'a>(node: &'a mut Self, path: &Path) -> Option<&'a mut Self> {
        path.iter().try_fold(node, |node, name| match node {
            Self::Directory { children, .. } => children.get_mut(name),
            _ => None,
        })
    }

    /// The entry `path`; symbolic links are not followed.
    pub fn get_mut(&mut self, path: impl AsRef<Path>) -> Option<&mut Self> {
        Self::find(self, path.as_ref())
    }

    /// The entry `path`; symbolic links are not followed.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Self> {
        path.as_ref().iter().try_fold(self, |node, name| match node {
            Self::Directory { children, .. } => children.get(name),
            _ => None,
        })
    }

    /// The entries of a directory; none of anything else.
    pub fn children(&self) -> impl Iterator<Item = (&OsStr, &Self)> {
        let children = match self {
            Self::Directory { children, .. } => Some(children),
            _ => None,
        };
        children
            .into_iter()
            .flatten()
            .map(|(name, node)| (name.as_os_str(), node))
    }

    /// Takes the entry `path` out.
    pub fn take(&mut self, path: impl AsRef<Path>) -> Option<Self> {
        let path = path.as_ref();
        match Self::find(self, path.parent()?)? {
            Self::Directory { children, .. } => children.remove(path.file_name()?),
            _ => None,
        }
    }

    /// Puts `node` at `path`, making the directories on the way (mode 0755) and replacing what is there.
    ///
    /// # Errors
    /// Something on the way is not a directory.
    pub fn put(&mut self, path: impl AsRef<Path>, node: Self) -> Result<()> {
        let path = path.as_ref();
        let refused = |reason: &str| Error::Entry {
            path: path.display().to_string(),
            reason: reason.to_owned(),
        };
        let name = path
            .file_name()
            .ok_or_else(|| refused("does not end in a name"))?;
        let mut at = self;
        for part in path.parent().unwrap_or(Path::new("")).iter() {
            let Self::Directory { children, .. } = at else {
                return Err(refused("something on the way is not a directory"));
            };
            at = children
                .entry(part.to_owned())
                .or_insert_with(|| Self::directory(0o755));
        }
        match at {
            Self::Directory { children, .. } => {
                children.insert(name.to_owned(), node);
                Ok(())
            }
            _ => Err(refused("its parent is not a directory")),
        }
    }

    /// Its owner, mode and attributes; none for special files.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Self::Directory { meta, .. } | Self::File { meta, .. } | Self::Symlink { meta, .. } => Some(meta),
            Self::Special => None,
        }
    }
}

impl Meta {
    fn of_root(mode: u32) -> Self {
        Self {
            uid: 0,
            gid: 0,
            mode,
            attributes: Vec::new(),
        }
    }
}

impl Content {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Tree { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}
