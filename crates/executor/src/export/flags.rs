//! Inode flags of a tree that is handed out: kept as data in the store, there they are set.

use std::path::{Path, PathBuf};

use rustix::fs::IFlags;
use store::Object;
use tree::{Tree, flags};

use crate::Result;

/// The entries for which flags are kept.
pub(super) fn kept(object: &Object) -> Result<Vec<(PathBuf, IFlags)>> {
    let index = object.index()?;
    let entries = index.entries_with_attributes();
    let entries = entries.map(|entry| (entry.path, flags::of_attributes(&entry.xattrs)));
    Ok(entries.filter(|(_, flags)| !flags.is_empty()).collect())
}

/// Takes the flags off the entries that are there.
pub(super) fn clear(to: &Tree, flagged: &[(PathBuf, IFlags)]) {
    for (path, _) in flagged {
        // there may be nothing yet, or no flags
        let _ = flags::set(to, path, IFlags::empty());
    }
}

/// Sets them, as far as the file system and the caller's rights go; the directory's own only if it is the tree's alone.
pub(super) fn set(to: &Tree, flagged: &[(PathBuf, IFlags)], root: bool) {
    for (path, kept) in flagged.iter().rev() {
        if root || path != Path::new("") {
            // a file system without flags has none of them
            let _ = flags::set(to, path, *kept);
        }
    }
}
