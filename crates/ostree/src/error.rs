//! What can go wrong with a repository.

/// A commit that could not be written.
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
}

/// The result of an operation on a repository.
pub type Result<T> = std::result::Result<T, Error>;
