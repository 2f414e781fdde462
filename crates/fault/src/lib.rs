//! Steps that tests can make fail.
//!
//! [`step!`] goes around an operation that the kernel may refuse, [`writer!`] around something that is written to:
//!
//! ```text
//! fault::step!(std::fs::rename(from, to))?;
//! fault::writer!(file).write_all(bytes)?;
//! ```
//!
//! They are just what they go around, and nothing of this crate is in an executable, unless the feature `failpoints` is on.
//! With it the steps of a process are counted, and `OSBUILD_FAULT=KIND:N` has the n-th one fail: see [`KINDS`].
//!
//! [`lifted!`] asks whether a defence was taken away, for tests that show by it what the defence is for: by
//! `OSBUILD_LIFT=NAME,NAME` with that feature, never without it.

/// Whether steps can be made to fail: then what comes only with size is to come with little as well.
pub const ON: bool = cfg!(feature = "failpoints");

#[cfg(feature = "failpoints")]
mod lift;
#[cfg(feature = "failpoints")]
mod order;
#[cfg(feature = "failpoints")]
mod writer;

#[cfg(feature = "failpoints")]
pub use lift::lifted;
#[cfg(feature = "failpoints")]
pub use order::{Fail, KINDS, reached};
#[cfg(feature = "failpoints")]
pub use writer::Writer;

/// An operation that gives a `Result`, of which tests can make an error.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! step {
    ($operation:expr) => {
        $operation
    };
}

/// An operation that gives a `Result`, of which tests can make an error.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! step {
    ($operation:expr) => {
        match $crate::reached(concat!(file!(), ":", line!())) {
            Ok(()) => $operation,
            Err(number) => Err($crate::Fail::of(number)),
        }
    };
}

/// Something that is written to, whose writes tests can make fail or cut short.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! writer {
    ($to:expr) => {
        $to
    };
}

/// Something that is written to, whose writes tests can make fail or cut short.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! writer {
    ($to:expr) => {
        $crate::Writer::new($to, concat!(file!(), ":", line!()))
    };
}

/// Whether tests took the defence of this name away.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! lifted {
    ($name:literal) => {
        false
    };
}

/// Whether tests took the defence of this name away.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! lifted {
    ($name:literal) => {
        $crate::lifted($name)
    };
}
