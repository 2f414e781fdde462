//! What can go wrong with an image.

use std::io;

use crate::size::Bytes;

/// An image that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused to read or write a part of an image.
    #[error("cannot {operation}: {cause}")]
    Io {
        operation: &'static str,
        cause: io::Error,
    },
    /// The tree the image is made from.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// What was asked for cannot be.
    #[error("{0}")]
    Unsuitable(String),
    /// A size that does not hold what belongs in it, both in bytes.
    #[error("{what} of {given} is too small: it needs {needed}", given = Bytes(*.given), needed = Bytes(*.needed))]
    TooSmall {
        what: &'static str,
        given: u64,
        needed: u64,
    },
    /// A tool of the build root that is missing or failed.
    #[error("`{tool}` {how}")]
    Tool { tool: String, how: String },
}

/// The result of making an image.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: an [`Error::Io`] of this operation.
    pub(crate) fn io<E>(operation: &'static str) -> impl Fn(E) -> Self
    where
        E: Into<io::Error>,
    {
        move |cause| Self::Io {
            operation,
            cause: cause.into(),
        }
    }

    /// The same, said of `what`.
    pub(crate) fn about(self, what: &str) -> Self {
        Self::Unsuitable(format!("{what}: {self}"))
    }

    pub(crate) fn unsuitable(text: impl Into<String>) -> Self {
        Self::Unsuitable(text.into())
    }
}
