//! What is in the tree of an operating system: its packages, its files, and both as an SPDX document.
//!
//! * [`packages`]: what the tree's own package database says, read without the package manager: the tree is a stranger's.
//! * [`document`]: an SPDX 2.3 document of the packages and files of a tree, the same bytes for the same tree.
//! * [`is_system`]: whether a tree is an operating system's at all.

mod error;
mod owners;
mod packages;
mod purl;
mod release;
mod rpmdb;
mod spdx;
mod time;

pub use error::{Error, Result};
pub use packages::{Package, System, packages};
pub use spdx::{Image, document};

use tree::index::Index;

/// Whether a tree is that of an operating system: it says which one it is, or has a package database.
pub fn is_system(index: &Index) -> bool {
    let databases = packages::DATABASES.iter().copied();
    databases
        .chain(release::FILES)
        .any(|path| index.get(path).is_some())
}
