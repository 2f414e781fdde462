//! What can go wrong with an archive.

use std::io;

/// An archive that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel or a decoder refused.
    #[error("{what}: {cause}")]
    Io {
        what: String,
        // not called `source`: the text above has it already
        cause: io::Error,
    },
    /// The tree that is archived, or unpacked into.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The archive is damaged, or cannot hold what it is to hold.
    #[error("{0}")]
    Unsuitable(String),
}

/// The result of work on an archive.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Says what was tried when the call failed: `.map_err(Error::at(|| "cannot …"))`.
    pub(crate) fn at<S: Into<String>>(what: impl FnOnce() -> S) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io {
            what: what().into(),
            cause,
        }
    }

    pub(crate) fn unsuitable<T>(why: impl Into<String>) -> Result<T> {
        Err(Self::Unsuitable(why.into()))
    }

    /// The same about one entry of the tree or member of the archive.
    pub(crate) fn about(self, entry: &str) -> Self {
        match self {
            // it names its path already
            Self::Tree(error) => Self::Tree(error),
            Self::Io { what, cause } => Self::Io {
                what: format!("{entry}: {what}"),
                cause,
            },
            Self::Unsuitable(why) => Self::Unsuitable(format!("{entry}: {why}")),
        }
    }
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Io {
            what: "cannot read or write".into(),
            cause,
        }
    }
}
