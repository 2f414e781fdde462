//! OSTree commits, written and read without the `ostree` tool, object for object as it writes them.
//!
//! * [`Node`]: the tree to commit, whose entries can be moved before they are committed.
//! * [`Repo`]: a repository; [`Repo::write_tree`], [`Repo::write_commit`], [`Repo::set_ref`].
//! * [`Archive`]: a repository that is there: [`Archive::take`] a commit of another one, [`Archive::checkout`] it,
//!   add objects that come from elsewhere.
//! * [`object`]: the bytes of objects; [`parse`]: taken apart; [`gvariant`]: their encoding.

mod archive;
mod checkout;
mod error;
mod file_object;
pub mod gvariant;
mod node;
pub mod object;
pub mod parse;
mod repo;

pub use archive::{Archive, Objects};
pub use error::{Error, Result};
pub use node::{Content, Node};
pub use object::{Checksum, Commit, Entry, Meta};
pub use repo::{Mode, Repo};

/// The text of every source file of this crate, for the digest of the modules that use it.
pub const SOURCES: &[&str] = &[
    include_str!("file_object.rs"),
    include_str!("gvariant.rs"),
    include_str!("node.rs"),
    include_str!("object.rs"),
    include_str!("repo.rs"),
];

#[cfg(test)]
mod tests;
