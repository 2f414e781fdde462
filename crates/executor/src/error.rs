//! What ends a build beside a stage or a source that fails.

use std::path::PathBuf;

/// Why nothing more is done. Failed stages and sources are part of the [`Report`](crate::Report), not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked for it.
    #[error("interrupted")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A finished tree cannot be described.
    #[error(transparent)]
    Sbom(#[from] sbom::Error),
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// A finished tree cannot be handed out; `cause` names the file in it.
    #[error("cannot fill the output directory {dir}: {cause}", dir = dir.display())]
    Export { dir: PathBuf, cause: tree::Error },
    /// The library of modules is not as it should be.
    #[error("{message}")]
    Library { message: String, hint: String },
    /// The store lies on a file system that cannot hold trees.
    #[error("the store {path} lies on a file system that keeps no owners: {cause}", path = path.display())]
    StorePlace { path: PathBuf, cause: std::io::Error },
    /// The time of a stage is over; what has taken it.
    #[error("{0}")]
    OverTime(String),
    /// The virtual machine of a pipeline cannot be had, or cannot do something.
    #[error("the virtual machine of pipeline {pipeline}: {message}")]
    Machine { pipeline: String, message: String },
    /// An input, or the build root, of a stage cannot be had.
    #[error("{stage}: {message}")]
    Unbuildable { stage: String, message: String },
}

/// The result of executor operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Io {
            operation,
            path: path.into(),
            source: source.into(),
        }
    }
}
