//! rpm: the headers in its database.

use tree::Tree;

use super::{Package, System, relative};
use crate::rpmdb::{header::Header, sqlite};
use crate::{Error, Result};

/// Where the database is; a newer place may be a link to an older one, or the other way round.
const DIRS: [&str; 3] = ["usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"];
/// What other kinds of databases are called.
const OTHERS: [&str; 2] = ["Packages.db", "Packages"];

pub(super) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    for dir in DIRS {
        let path = format!("{dir}/rpmdb.sqlite");
        if tree.is_file(&path) {
            return of_sqlite(tree, &path);
        }
        let other = OTHERS.iter().map(|name| format!("{dir}/{name}"));
        if let Some(path) = other.into_iter().find(|path| tree.is_file(path)) {
            let reason = "only rpm's SQLite databases can be read: convert it with `rpmdb --rebuilddb`";
            return Err(Error::database(path, reason));
        }
    }
    Ok(Vec::new())
}

fn of_sqlite(tree: &Tree, path: &str) -> Result<Vec<Package>> {
    let log = format!("{path}-wal");
    let log = match tree.is_file(&log) {
        true => tree.read(&log)?,
        false => Vec::new(),
    };
    let bad = |reason| Error::database(path, reason);
    let database = sqlite::Database::open(tree.read(path)?, &log).map_err(bad)?;
    let mut all = Vec::new();
    for blob in database.blobs("Packages").map_err(bad)? {
        let header = Header::parse(&blob).map_err(bad)?;
        // keys that were imported are kept as packages
        if header.text(tag::NAME).as_deref() != Some("gpg-pubkey") {
            all.push(package(&header));
        }
    }
    Ok(all)
}

/// Tags of rpm's headers (rpmtag.h).
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const URL: u32 = 1020;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const SOURCERPM: u32 = 1044;
    pub(super) const DIRINDEXES: u32 = 1116;
    pub(super) const BASENAMES: u32 = 1117;
    pub(super) const DIRNAMES: u32 = 1118;
}

fn package(header: &Header<'_>) -> Package {
    let text = |tag| header.text(tag);
    let plain = |tag| text(tag).unwrap_or_default();
    let mut package = Package::new(System::Rpm);
    package.name = plain(tag::NAME);
    package.version = format!("{}-{}", plain(tag::VERSION), plain(tag::RELEASE));
    package.epoch = header.numbers(tag::EPOCH).first().map(u32::to_string);
    package.architecture = plain(tag::ARCH);
    package.source = text(tag::SOURCERPM);
    package.supplier = text(tag::VENDOR);
    package.homepage = text(tag::URL);
    package.licence = text(tag::LICENSE);
    package.summary = text(tag::SUMMARY);
    let dirs = header.texts(tag::DIRNAMES);
    let indexes = header.numbers(tag::DIRINDEXES);
    let names = header.texts(tag::BASENAMES);
    let path = |(name, index): (&String, &u32)| {
        let dir = dirs.get(*index as usize)?;
        Some(relative(&format!("{dir}{name}")))
    };
    package.files = names.iter().zip(&indexes).filter_map(path).collect();
    package
}
