//! Everything that is to be said of a directory tree, to be compared.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// A file, directory or link, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `file`, `directory`, `link` or another word.
    pub kind: &'static str,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The digest of a file's bytes, the text of a link.
    pub content: String,
    /// By name, in hexadecimal.
    pub xattrs: BTreeMap<OsString, String>,
    /// The first of the file's names.
    pub first: PathBuf,
    /// Seconds.
    pub mtime: i64,
}

/// A tree, by path; its root has the empty path.
pub type Listing = BTreeMap<PathBuf, Item>;

/// Lists a directory tree.
///
/// # Panics
/// Something of it cannot be read.
pub fn list(dir: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut inodes = HashMap::new();
    walk(dir, Path::new(""), &mut inodes, &mut listing);
    listing
}

/// A listing without what a format does not keep.
pub fn without(listing: &Listing, forget: impl Fn(&mut Item)) -> Listing {
    let mut listing = listing.clone();
    listing.values_mut().for_each(forget);
    listing
}

/// The bytes that a file takes up.
///
/// # Panics
/// It is not there.
pub fn allocated(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    metadata.blocks() * 512
}

fn walk(dir: &Path, path: &Path, inodes: &mut HashMap<(u64, u64), PathBuf>, listing: &mut Listing) {
    let full = if path.as_os_str().is_empty() {
        dir.to_owned()
    } else {
        dir.join(path)
    };
    let fail = |e: std::io::Error| -> ! { panic!("cannot list {}: {e}", full.display()) };
    let metadata = fs::symlink_metadata(&full).unwrap_or_else(|e| fail(e));
    let kind = metadata.file_type();
    let (kind, content) = if kind.is_dir() {
        ("directory", String::new())
    } else if kind.is_symlink() {
        let target = fs::read_link(&full).unwrap_or_else(|e| fail(e));
        ("link", format!("{target:?}"))
    } else if kind.is_file() {
        let content = fs::read(&full).unwrap_or_else(|e| fail(e));
        ("file", hex::encode(Sha256::digest(&content)))
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else {
        ("node", metadata.rdev().to_string())
    };
    let inode = (metadata.dev(), metadata.ino());
    let item = Item {
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        content,
        xattrs: xattrs(&full),
        first: inodes.entry(inode).or_insert_with(|| path.to_owned()).clone(),
        mtime: metadata.mtime(),
    };
    listing.insert(path.to_owned(), item);
    if kind == "directory" {
        let mut names: Vec<OsString> = fs::read_dir(&full)
            .unwrap_or_else(|e| fail(e))
            .map(|entry| entry.unwrap_or_else(|e| fail(e)).file_name())
            .collect();
        names.sort();
        for name in names {
            walk(dir, &path.join(name), inodes, listing);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<OsString, String> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(e) => panic!("the attributes of {}: {e}", path.display()),
    };
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| OsString::from_vec(name.to_vec()))
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name.as_os_str(), &mut value)
                .unwrap_or_else(|e| panic!("{name:?} of {}: {e}", path.display()));
            let value = hex::encode(&value[..length]);
            (OsString::from_vec(name.as_bytes().to_vec()), value)
        })
        .collect()
}
