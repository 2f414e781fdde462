//! Making files, and the directories they lie in.

use std::io::Write;

use module::{Context, Result, Tree};
use rustix::fs::OFlags;

/// Writes `text` to the new file `path`, mode 0644; one that is there, be it a link, is an error.
pub fn create_new(tree: &Tree, path: &str, text: &str) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let fd = tree
        .open_at(path, flags, 0o644)
        .with_context(|| format!("cannot make /{path}: it must not be in the tree yet"))?;
    std::fs::File::from(fd)
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write /{path}"))
}

/// Writes `text` to the file `path`; the directories on the way are made where they are not there.
pub fn write_below(tree: &Tree, path: &str, text: &str) -> Result<()> {
    if let Some((dir, _)) = path.rsplit_once('/') {
        tree.mkdir_all(dir)?;
    }
    Ok(tree.write(path, text)?)
}
