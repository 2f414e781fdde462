//! What keeps a document from being made.

/// Why a tree cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A file of the tree cannot be read to its end.
    #[error("cannot read /{path}: {cause}")]
    Read { path: String, cause: std::io::Error },
    /// A package database is damaged, or of a kind that is not read.
    #[error("the package database /{path}: {reason}")]
    Database { path: String, reason: String },
}

/// The result of describing a tree.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn database(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Database {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
