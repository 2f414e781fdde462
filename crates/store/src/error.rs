//! What can go wrong with a store: the path and the operation, always.

use std::path::{Path, PathBuf};

/// An operation on the store that failed. Entries that are missing or damaged are no errors but misses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// There is something, but no directory, where the store should be.
    #[error("the store {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The store's directory cannot be made or written to.
    #[error("the store {path} cannot be written to: {source}", path = path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    /// The store was opened to look at it, and is to be changed.
    #[error("the store {} was opened only to look at it", .0.display())]
    ReadOnly(PathBuf),
    /// A stage id that cannot be a file name.
    #[error("{0:?} is not a stage id: only letters, digits, `-`, `_` and inner dots are allowed")]
    BadId(String),
    /// A tree cannot be read, or cannot be kept.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// An object lost something while it was in use.
    #[error("the object {digest} in the store is damaged: {reason}")]
    Damaged {
        digest: tree::index::TreeDigest,
        reason: String,
    },
    /// `cache.info` is there and makes no sense.
    #[error("{path} cannot be understood: {reason}", path = path.display())]
    BadInfo { path: PathBuf, reason: String },
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Io {
            operation,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }

    /// Whether the file system is full or the quota used up.
    pub fn is_full(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::Unwritable { source, .. } => source,
            Self::Tree(tree::Error::Io { cause, .. }) => cause,
            _ => return false,
        };
        matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        )
    }
}
