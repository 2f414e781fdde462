//! The files of a package: into the tree, and as the database lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use module::{Context, Result, Tree};
use tar::{Archive, EntryType};

use super::database::Database;
use super::package::{Package, checksum};
use crate::deb::extract::Extractor;

/// What a package brought: directories with their owner and mode, and the files in each.
#[derive(Debug, Default)]
pub struct Files {
    pub directories: BTreeMap<PathBuf, Directory>,
}

/// A directory in the list of a package.
#[derive(Debug, Default)]
pub struct Directory {
    /// Owner, group, permission bits; none for one that the package only has files in.
    pub access: Option<(u64, u64, u32)>,
    /// Name → owner, group, permission bits and checksum.
    pub files: BTreeMap<String, (u64, u64, u32, Option<String>)>,
}

impl Files {
    /// The absolute paths of all its directories.
    pub fn directories(&self) -> impl Iterator<Item = String> + '_ {
        self.directories.keys().map(|path| format!("/{}", path.display()))
    }
}

/// A name that stands for another id in the tree than in the archive.
struct Owner {
    path: PathBuf,
    uid: u64,
    gid: u64,
    mode: u32,
}

/// Writes the files of `package`; those in `/etc` that are there and nobody's are left alone.
pub fn extract(tree: &Tree, database: &Database, package: &Package) -> Result<Files> {
    let (files, owners) = list(tree, package)?;
    let keep: BTreeSet<PathBuf> = files
        .directories
        .iter()
        .flat_map(|(directory, entry)| entry.files.keys().map(|name| directory.join(name)))
        .filter(|path| path.starts_with("etc") && tree.exists(path) && !database.owns(path))
        .collect();
    for path in &keep {
        println!("kept /{}, which is there already", path.display());
    }
    let wanted = |path: &Path| !keep.contains(path) && !is_control(path);
    Extractor::new(tree).extract(package.files(), wanted)?;
    for owner in owners.iter().filter(|owner| !keep.contains(&owner.path)) {
        tree.chown(
            &owner.path,
            Some(u32::try_from(owner.uid)?),
            Some(u32::try_from(owner.gid)?),
        )?;
        // the change took the setuid bit away
        if tree
            .stat(&owner.path)?
            .is_some_and(|stat| stat.kind != tree::Kind::Symlink)
        {
            tree.chmod(&owner.path, owner.mode)?;
        }
    }
    Ok(files)
}

fn is_control(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.starts_with('.') && !name.contains('/')
}

/// Reads what a package brings, with the tree's ids of its owners.
fn list(tree: &Tree, package: &Package) -> Result<(Files, Vec<Owner>)> {
    let (users, groups) = (ids(tree, "etc/passwd")?, ids(tree, "etc/group")?);
    let (mut files, mut owners) = (Files::default(), Vec::new());
    for entry in Archive::new(package.files()).entries()? {
        let mut entry = entry.context("its files are damaged")?;
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_matches('/')
            .to_owned();
        let path = PathBuf::from(path.trim_start_matches("./"));
        if path.as_os_str().is_empty() || is_control(&path) {
            continue;
        }
        let header = entry.header();
        let mode = header.mode()? & 0o7777;
        let id = |name: Option<&str>, table: &BTreeMap<String, u64>, number| {
            name.and_then(|name| table.get(name)).copied().unwrap_or(number)
        };
        let (old_uid, old_gid) = (header.uid()?, header.gid()?);
        let uid = id(header.username().ok().flatten(), &users, old_uid);
        let gid = id(header.groupname().ok().flatten(), &groups, old_gid);
        let kind = header.entry_type();
        if (uid, gid) != (old_uid, old_gid) && kind != EntryType::Link {
            owners.push(Owner {
                path: path.clone(),
                uid,
                gid,
                mode,
            });
        }
        if kind == EntryType::Directory {
            files.directories.entry(path).or_default().access = Some((uid, gid, mode));
            continue;
        }
        let sum = sum_of(&mut entry)?;
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path
            .file_name()
            .context("a file has no name")?
            .to_string_lossy()
            .into_owned();
        files
            .directories
            .entry(parent)
            .or_default()
            .files
            .insert(name, (uid, gid, mode, sum));
    }
    Ok((files, owners))
}

/// The checksum of a file's content, or of where a link leads to.
fn sum_of(entry: &mut tar::Entry<'_, impl Read>) -> Result<Option<String>> {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).context("its files are damaged")?;
            Ok(Some(checksum(&content)))
        }
        EntryType::Symlink => Ok(entry.link_name_bytes().map(|target| checksum(&target))),
        _ => Ok(None),
    }
}

/// Names and numbers of a table such as `/etc/passwd`.
fn ids(tree: &Tree, path: &str) -> Result<BTreeMap<String, u64>> {
    if !tree.is_file(path) {
        return Ok(BTreeMap::new());
    }
    let text = tree.read_text(path)?;
    let pair = |line: &str| {
        let mut words = line.split(':');
        Some((words.next()?.to_owned(), words.nth(1)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}
