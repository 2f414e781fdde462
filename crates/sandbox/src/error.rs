//! Why a box could not be made.

use std::io;

/// The step of the set-up that failed and what the kernel said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step of the plan failed in the child.
    #[error("cannot set up the sandbox: {step}: {source}")]
    Step { step: String, source: io::Error },
    /// Something outside the plan failed.
    #[error("cannot set up the sandbox: {operation}: {source}")]
    Setup { operation: String, source: io::Error },
    /// The plan cannot be carried out.
    #[error("cannot set up the sandbox: {0}")]
    Plan(String),
}

/// The result of a sandbox operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn setup(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Setup {
            operation: operation.into(),
            source: source.into(),
        }
    }
}
