//! Why a virtual machine cannot be had, or was lost.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that makes the machine is not installed.
    #[error("there is no {program} on this machine: install {package}")]
    Missing { program: String, package: &'static str },
    /// The tree has no kernel.
    #[error(
        "the build tree has no kernel: neither usr/lib/modules/VERSION/vmlinuz nor boot/vmlinuz-VERSION with its modules"
    )]
    NoKernel,
    /// The kernel of the tree lacks something.
    #[error("the build tree's kernel {version} {problem}")]
    Kernel { version: String, problem: String },
    /// Machines of this architecture are not known.
    #[error("virtual machines of the architecture {0} are not supported")]
    Architecture(&'static str),
    /// It ended without an answer.
    #[error("it ended without an answer{0}")]
    Ended(String),
    /// It does not answer.
    #[error("it did not answer within {} s{last}", limit.as_secs())]
    Silent { limit: Duration, last: String },
    /// It said what is no message.
    #[error("its answer cannot be understood: {0}")]
    Answer(String),
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    #[error(transparent)]
    Tree(#[from] tree::Error),
}

/// The result of an operation on a machine.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            operation,
            path: path.into(),
            source: source.into(),
        }
    }
}
