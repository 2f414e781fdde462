//! The packages of a tree, by its own database.

mod apk;
mod dpkg;
mod pacman;
mod rpm;

use tree::Tree;

use crate::Result;

/// The databases that are read; which ones there are tells the package managers of a tree.
pub(crate) const DATABASES: [&str; 11] = [
    dpkg::STATUS,
    dpkg::STATUS_DIR,
    apk::PLACES[0],
    apk::PLACES[1],
    pacman::LOCAL,
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/share/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages.db",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
];

/// A package manager, by the kind of its packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    Deb,
    Rpm,
    Apk,
    Pacman,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub system: System,
    pub name: String,
    /// As the package manager writes it, without an epoch of rpm.
    pub version: String,
    /// Of rpm alone; the others have theirs in the version.
    pub epoch: Option<String>,
    pub architecture: String,
    /// What it was built from: the name of the source package, or of its file.
    pub source: Option<String>,
    /// Who made it, as the database has it: `NAME <MAIL>` or a name.
    pub supplier: Option<String>,
    pub homepage: Option<String>,
    pub licence: Option<String>,
    pub summary: Option<String>,
    /// The paths that the database says are its own, directories among them, relative to the root.
    pub files: Vec<String>,
}

impl Package {
    fn new(system: System) -> Self {
        Self {
            system,
            name: String::new(),
            version: String::new(),
            epoch: None,
            architecture: String::new(),
            source: None,
            supplier: None,
            homepage: None,
            licence: None,
            summary: None,
            files: Vec::new(),
        }
    }

    /// Version with the epoch, as people write it.
    pub fn full_version(&self) -> String {
        match &self.epoch {
            Some(epoch) => format!("{epoch}:{}", self.version),
            None => self.version.clone(),
        }
    }
}

/// All packages of a tree, sorted by kind, name, architecture and version.
///
/// # Errors
/// A database cannot be read, or is of a kind that is not: none is left out silently.
pub fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let mut all = dpkg::packages(tree)?;
    all.extend(rpm::packages(tree)?);
    all.extend(apk::packages(tree)?);
    all.extend(pacman::packages(tree)?);
    let key = |package: &Package| {
        let Package {
            system,
            name,
            architecture,
            version,
            ..
        } = package;
        (*system, name.clone(), architecture.clone(), version.clone())
    };
    all.sort_by_cached_key(key);
    all.dedup_by_key(|package| key(package));
    Ok(all)
}

/// A text that says something.
fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A path of a database, relative to the root.
fn relative(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}
