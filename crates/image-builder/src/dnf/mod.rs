//! Resolution with dnf, in an installation root of its own.
//!
//! dnf says which packages it would install; what pins them (path and digest) stands in the repositories' metadata, which
//! dnf has fetched on the way.

mod primary;
mod repo;
mod run;
mod table;

use std::collections::BTreeMap;

pub use repo::Repository;
pub use run::Dnf;

/// What is asked of dnf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub releasever: String,
    pub basearch: String,
    /// By id.
    pub repositories: BTreeMap<String, Repository>,
    /// Names, and groups as `@NAME`.
    pub packages: Vec<String>,
    pub excluded: Vec<String>,
    pub weak_dependencies: bool,
    pub module_platform_id: Option<String>,
}

/// A package that dnf has chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chosen {
    pub name: String,
    /// `1:2.3-4`, the epoch left out where it is 0.
    pub evr: String,
    pub arch: String,
    /// The id of its repository.
    pub repository: String,
}

/// What pins a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub chosen: Chosen,
    /// Below the repository's address.
    pub path: String,
    /// Lowercase hex.
    pub sha256: String,
    /// Bytes to download.
    pub size: u64,
}

impl Wanted {
    /// A text with the release and the architecture in the place of `$releasever` and `$basearch`.
    pub fn substitute(&self, text: &str) -> String {
        repo::substitute(text, &self.releasever, &self.basearch)
    }
}
