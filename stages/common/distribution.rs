//! Which distribution a tree is of.

use module::{Result, Tree};

/// Whether the tree is Debian's or of a distribution derived from it.
pub fn is_debian(tree: &Tree) -> Result<bool> {
    if tree.exists("etc/debian_version") {
        return Ok(true);
    }
    let release = ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find(|file| tree.is_file(file));
    let Some(release) = release else { return Ok(false) };
    let text = tree.read_text(release)?;
    let ids = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    Ok(ids
        .flat_map(|ids| ids.trim_matches(['"', '\'']).split_whitespace())
        .any(|id| id == "debian"))
}
