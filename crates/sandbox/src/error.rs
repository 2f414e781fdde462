//! Why a box could not be made.

use std::io;

use crate::Guard;

/// The step of the set-up that failed and what the kernel said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step of the plan failed in the child.
    #[error("cannot set up the sandbox: {step}: {source}")]
    Step { step: String, source: io::Error },
    /// Something outside the plan failed.
    #[error("cannot set up the sandbox: {operation}: {source}")]
    Setup { operation: String, source: io::Error },
    /// A part of the boundary cannot be had.
    #[error("cannot set up the sandbox: {operation}: {source}{advice} (`--unsafe-allow={guard}` goes on without it)", advice = guard.advice(source))]
    Guard {
        guard: Guard,
        operation: String,
        source: io::Error,
    },
    /// A limit that was asked for cannot be enforced.
    #[error("cannot limit {what} of the sandbox: {source} (`--unsafe-allow=limits` goes on without it)")]
    Limit { what: &'static str, source: io::Error },
    /// An ordinary user cannot build on this machine.
    #[error("{message}")]
    Rootless { message: String, hint: String },
    /// The plan cannot be carried out.
    #[error("cannot set up the sandbox: {0}")]
    Plan(String),
}

/// The result of a sandbox operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same as the lack of a part of the boundary.
    pub(crate) fn of(self, guard: Guard) -> Self {
        match self {
            Self::Setup { operation, source } => Self::Guard {
                guard,
                operation,
                source,
            },
            other => other,
        }
    }

    /// What to do against it, where there is more to say than in the message.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Rootless { hint, .. } => Some(hint),
            _ => None,
        }
    }

    pub(crate) fn setup(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Setup {
            operation: operation.into(),
            source: source.into(),
        }
    }
}
