//! A file system tree that comes from strangers.
//!
//! * [`Tree`]: open, read and change files of a tree without ever leaving it, whatever links lie in it.
//! * [`walk`]: every entry of a tree in one fixed order.
//! * [`copy`]: a tree into another directory with owners, modes, times, attributes, hard links and holes.
//! * [`index`]: the list of a tree's entries, what an overlay layer changes in it, and its digest.

pub mod copy;
mod error;
pub mod index;
mod rooted;
pub mod walk;

pub use error::{Error, Result};
pub use rooted::{Kind, Stat, Tree};
