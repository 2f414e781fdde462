//! Resolution with the distribution's own solver: apt, in private directories.
//!
//! Nothing of the machine's package state is read or changed. What is taken from the machine are its keys, its
//! credentials and how it reaches the network; repositories come in from outside, as [`Repository`]s.

mod index;
mod installed;
mod keys;
mod release;
mod repo;
mod run;
mod solve;
mod sources;

pub use index::Available;
pub use installed::installed;
pub use keys::{is_armored, key_field};
pub use repo::{Defaults, parse_repo};
pub use run::Apt;
pub use sources::{machine, of_distro, reachable_uris, render};

/// A package that apt has chosen: everything that pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// Where it lies below the repository's address, such as `pool/main/b/bash/bash_5.2_amd64.deb`.
    pub path: String,
    /// Lowercase hex.
    pub sha256: String,
    /// Bytes to download.
    pub size: u64,
    /// Bytes on the disk once it is installed, as the package says.
    pub installed: u64,
    /// The id of its repository.
    pub mirror: String,
}

/// A package repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its id in a manifest; the distribution's own repositories go by theirs, which depends on the suite.
    pub id: Option<String>,
    pub uri: String,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    /// As in deb822 sources: files, fingerprints, or the key itself.
    pub signed_by: Option<String>,
    /// Taken without a signature.
    pub trusted: bool,
    /// Further fields of its entry, such as `Check-Valid-Until`.
    pub fields: Vec<(String, String)>,
}
