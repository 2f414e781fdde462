//! Whether a path still leads to the file that was opened by it.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether `path` still names this file or directory.
pub(crate) fn lies_at(file: &File, path: &Path) -> bool {
    found_at(file, path).is_some()
}

/// What is known of this file, if `path` still names it.
pub(crate) fn found_at(file: &File, path: &Path) -> Option<Metadata> {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(ours),
        _ => None,
    }
}
