//! What can go wrong with a repository.

use std::path::PathBuf;

use crate::Checksum;

/// A commit that could not be written, or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// An entry that no OSTree object can stand for.
    #[error("/{path}: {reason}")]
    Entry { path: String, reason: String },
    /// A ref or checksum that is none.
    #[error("`{text}` is not {what}")]
    Name { text: String, what: &'static str },
    #[error("cannot {operation} {path} of the repository: {source}")]
    Repository {
        operation: &'static str,
        path: String,
        source: std::io::Error,
    },
    /// A repository of another kind than an archive.
    #[error("{} is no archive repository: its mode is `{mode}`", path.display())]
    Mode { path: PathBuf, mode: String },
    #[error("the commit {commit} is not in {}, or not all of it", path.display())]
    NoCommit { path: PathBuf, commit: Checksum },
    #[error("the object {checksum}.{kind} is malformed")]
    Malformed { kind: &'static str, checksum: Checksum },
    #[error("wrong content: expected {wanted}.{kind}, got {found}")]
    Checksum {
        kind: &'static str,
        wanted: Checksum,
        found: Checksum,
    },
    /// Whoever gave the bytes of an object failed.
    #[error(transparent)]
    Transfer(std::io::Error),
}

impl Error {
    pub(crate) fn malformed(checksum: Checksum, kind: &'static str) -> Self {
        Self::Malformed { kind, checksum }
    }
}

/// The result of an operation on a repository.
pub type Result<T> = std::result::Result<T, Error>;
