//! Making a link in `/etc/systemd/system`.

use std::path::{Path, PathBuf};

use module::{Result, Tree, bail};
use tree::Kind;

use super::CONFIG;

/// Makes `name` (below [`CONFIG`]) a link to `target`. One that leads to the same file already stays; another link
/// is replaced with `force` and an error without it; anything else is an error.
pub fn make(tree: &Tree, name: &str, target: &Path, force: bool) -> Result<()> {
    let path = Path::new(CONFIG).join(name);
    if let Some(parent) = path.parent() {
        tree.mkdir_all(parent)?;
    }
    if let Some(stat) = tree.stat(&path)? {
        if stat.kind != Kind::Symlink {
            bail!("/{} is there and is not a link: remove it first", path.display());
        }
        let old = tree.read_link(&path)?;
        if old == target || same(tree, &path, target)? {
            return Ok(());
        }
        if !force {
            bail!(
                "/{} is there and leads to {}: remove it first",
                path.display(),
                old.display()
            );
        }
        tree.remove_file(&path)?;
    }
    println!("/{} -> {}", path.display(), target.display());
    Ok(tree.symlink(target, &path)?)
}

/// Whether the link and `target` end at the same file of the tree.
fn same(tree: &Tree, link: &Path, target: &Path) -> Result<bool> {
    let ends = (tree.stat_followed(link)?, tree.stat_followed(target)?);
    Ok(matches!(ends, (Some(a), Some(b)) if (a.dev, a.ino) == (b.dev, b.ino)))
}

/// Removes the link `path` and the directories up to [`CONFIG`] that this leaves empty.
pub fn remove(tree: &Tree, path: &Path) -> Result<()> {
    println!("removed /{}", path.display());
    tree.remove_file(path)?;
    let mut dir: PathBuf = path.to_owned();
    while dir.pop() && dir != Path::new(CONFIG) && tree.list(&dir)?.is_empty() {
        tree.remove_all(&dir)?;
    }
    Ok(())
}
