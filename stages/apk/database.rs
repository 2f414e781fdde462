//! What apk knows of a system: `/lib/apk/db` and `/etc/apk/world`.
//!
//! ```text
//! installed      one paragraph a package: C: checksum, P: name, V: version, …, then F: directory, M: its owner and mode,
//!                R: file, a: its owner and mode, Z: its checksum
//! scripts.tar    NAME-VERSION.CHECKSUM.post-install and so on
//! triggers       CHECKSUM DIRECTORY …
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use module::{Context, Result, Tree};
use serde_json::{Value, json};

use super::files::Files;
use super::package::Package;

const DIR: &str = "lib/apk/db";
const WORLD: &str = "etc/apk/world";

/// Letters of a paragraph, in their order, and the fields of `.PKGINFO` that they hold.
const FIELDS: [(char, &str); 15] = [
    ('P', "pkgname"),
    ('V', "pkgver"),
    ('A', "arch"),
    ('S', ""),
    ('I', "size"),
    ('T', "pkgdesc"),
    ('U', "url"),
    ('L', "license"),
    ('o', "origin"),
    ('m', "maintainer"),
    ('t', "builddate"),
    ('c', "commit"),
    ('k', "provider_priority"),
    ('D', "depend"),
    ('p', "provides"),
];
/// As these are written: all values on one line.
const LATER: [(char, &str); 3] = [('i', "install_if"), ('r', "replaces"), ('q', "replaces_priority")];

/// The paragraphs, those of new packages last.
#[derive(Debug)]
pub struct Database {
    installed: String,
    triggers: String,
    /// All files of packages.
    owned: BTreeSet<PathBuf>,
}

impl Database {
    /// Reads that of `tree`: empty where there is none.
    pub fn read(tree: &Tree) -> Result<Self> {
        let text = |name: &str| {
            let path = format!("{DIR}/{name}");
            match tree.is_file(&path) {
                true => Ok::<_, anyhow::Error>(tree.read_text(path)?),
                false => Ok(String::new()),
            }
        };
        let mut database = Self {
            installed: text("installed")?,
            triggers: text("triggers")?,
            owned: BTreeSet::new(),
        };
        database.owned = paths(&database.installed).collect();
        Ok(database)
    }

    /// Names and versions.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.installed.split("\n\n").filter_map(|paragraph| {
            let value = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
            Some((value("P:")?, value("V:")?))
        })
    }

    /// Whether a package brought the file.
    pub fn owns(&self, path: &Path) -> bool {
        self.owned.contains(path)
    }

    /// The absolute paths of the directories of all packages.
    pub fn directories(&self) -> impl Iterator<Item = String> + '_ {
        let lines = self.installed.lines().filter_map(|line| line.strip_prefix("F:"));
        lines.map(|path| format!("/{path}"))
    }

    /// Adds a package.
    pub fn add(&mut self, package: &Package, files: &Files) {
        let paragraph = paragraph(package, files);
        self.owned.extend(paths(&paragraph));
        self.installed += &paragraph;
        if package.script(".trigger").is_some() {
            let places: Vec<&str> = package.values("triggers").collect();
            self.triggers += &format!("{} {}\n", package.checksum, places.join(" "));
        }
    }

    /// Writes it, with the scripts of the new `packages`.
    pub fn write(&self, tree: &Tree, packages: &[Package], world: &BTreeSet<String>) -> Result<()> {
        tree.mkdir_all(DIR)?;
        tree.mkdir_all("etc/apk")?;
        tree.write(format!("{DIR}/installed"), &self.installed)?;
        tree.write(format!("{DIR}/triggers"), &self.triggers)?;
        tree.write(format!("{DIR}/lock"), "")?;
        tree.chmod(format!("{DIR}/lock"), 0o600)?;
        tree.write(format!("{DIR}/scripts.tar"), scripts(tree, packages)?)?;
        let world: String = world.iter().map(|name| format!("{name}\n")).collect();
        tree.write(WORLD, world)?;
        let architecture = packages
            .iter()
            .map(|package| package.field("arch"))
            .find(|arch| *arch != "noarch");
        if let Some(architecture) = architecture.filter(|_| !tree.exists("etc/apk/arch")) {
            tree.write("etc/apk/arch", format!("{architecture}\n"))?;
        }
        Ok(())
    }

    /// All packages, sorted by name.
    pub fn metadata(&self) -> Value {
        let mut packages = Vec::new();
        for paragraph in self.installed.split("\n\n") {
            let value = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
            if let (Some(name), Some(version)) = (value("P:"), value("V:")) {
                packages.push(json!({"name": name, "version": version, "architecture": value("A:")}));
            }
        }
        packages.sort_by_key(|package| package["name"].to_string());
        json!({"packages": packages})
    }
}

/// What `/etc/apk/world` has.
pub fn world(tree: &Tree) -> Result<BTreeSet<String>> {
    let text = if tree.is_file(WORLD) {
        tree.read_text(WORLD)?
    } else {
        String::new()
    };
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// The files in paragraphs.
fn paths(installed: &str) -> impl Iterator<Item = PathBuf> {
    let mut directory = PathBuf::new();
    installed.lines().filter_map(move |line| {
        if let Some(path) = line.strip_prefix("F:") {
            directory = path.into();
        }
        line.strip_prefix("R:").map(|name| directory.join(name))
    })
}

fn paragraph(package: &Package, files: &Files) -> String {
    let mut text = format!("C:{}\n", package.checksum);
    for (letter, name) in FIELDS.into_iter().chain(LATER) {
        let value = match letter {
            'S' => package.size.to_string(),
            'D' | 'p' | 'i' | 'r' => package.values(name).collect::<Vec<_>>().join(" "),
            _ => package.field(name).to_owned(),
        };
        if !value.is_empty() {
            let _ = writeln!(text, "{letter}:{value}");
        }
    }
    for (path, directory) in &files.directories {
        let _ = writeln!(text, "F:{}", path.display());
        if let Some((uid, gid, mode)) = directory.access.filter(|access| *access != (0, 0, 0o755)) {
            let _ = writeln!(text, "M:{uid}:{gid}:{mode:o}");
        }
        for (name, (uid, gid, mode, sum)) in &directory.files {
            let _ = writeln!(text, "R:{name}");
            if (*uid, *gid, *mode) != (0, 0, 0o644) {
                let _ = writeln!(text, "a:{uid}:{gid}:{mode:o}");
            }
            if let Some(sum) = sum {
                let _ = writeln!(text, "Z:{sum}");
            }
        }
    }
    text + "\n"
}

/// The archive of all scripts: those that are there, and those of the new packages.
fn scripts(tree: &Tree, packages: &[Package]) -> Result<Vec<u8>> {
    let path = format!("{DIR}/scripts.tar");
    let mut archive = tar::Builder::new(Vec::new());
    if tree.is_file(&path) {
        let old = tree.read(&path)?;
        for entry in tar::Archive::new(old.as_slice()).entries()? {
            let entry = entry.context("scripts.tar is damaged")?;
            let header = entry.header().clone();
            archive.append(&header, entry)?;
        }
    }
    for package in packages {
        let stem = format!("{}-{}.{}", package.name(), package.version(), package.checksum);
        for (name, content) in package.scripts() {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.len() as u64);
            header.set_mtime(package.field("builddate").parse().unwrap_or(0));
            archive.append_data(&mut header, format!("{stem}{name}"), content)?;
        }
    }
    Ok(archive.into_inner()?)
}
