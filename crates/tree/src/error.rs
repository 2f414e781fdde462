//! What can go wrong with a tree: the path and the operation, always.

use std::path::{Path, PathBuf};

/// An operation on a path of a tree that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused; `path` is relative to the tree.
    #[error("cannot {operation} /{path}: {cause}", path = path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        // not called `source`: the text above has it already, and a chain of causes would say it twice
        cause: std::io::Error,
    },
    /// The entry is there but of a kind or shape that the operation cannot take.
    #[error("/{path}: {reason}", path = path.display())]
    Unsuitable { path: PathBuf, reason: String },
    /// Somebody asked for it.
    #[error("stopped half-way")]
    Stopped,
}

/// The result of a tree operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] of a raw system call.
    pub fn errno(operation: &'static str, path: impl AsRef<Path>, errno: rustix::io::Errno) -> Self {
        Self::io(operation, path, errno.into())
    }

    /// An [`Error::Io`].
    pub fn io(operation: &'static str, path: impl AsRef<Path>, cause: std::io::Error) -> Self {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path).to_owned();
        Self::Io {
            operation,
            path,
            cause,
        }
    }

    /// Whether the path, or a directory on the way, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound)
    }
}
