//! A file system tree that comes from strangers.
//!
//! * [`Tree`]: open, read and change files of a tree without ever leaving it, whatever links lie in it.
//! * [`walk`]: every entry of a tree in one fixed order.
//! * [`copy`]: a tree into another directory with owners, modes, times, attributes, hard links and holes.
//! * [`Shift`]: owners moved to the range of a user namespace and back.
//! * [`Deed`]: what only the machine's root may do to an entry.
//! * [`remove_tree`]: a directory with all that strangers put into it, gone.
//! * [`index`]: the list of a tree's entries, what an overlay layer changes in it, and its digest.

mod chain;
pub mod copy;
mod copy_entry;
mod copy_file;
mod copy_past_cache;
mod deed;
mod error;
pub mod flags;
pub mod index;
mod prefetch;
mod remove;
mod rooted;
mod shift;
pub mod walk;
mod xattr;

pub use copy_entry::copy_entry;
pub use copy_file::copy_file;
pub use deed::Deed;
pub use error::{Error, Result};
pub use remove::remove_tree;
pub use rooted::{Kind, Stat, Tree};
pub use shift::{Shift, shift_tree};
