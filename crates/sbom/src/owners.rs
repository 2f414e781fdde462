//! Which package a file belongs to.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tree::Kind;
use tree::index::Index;

use crate::packages::Package;

/// So many links are followed at most on the way to a file, as in the kernel.
const MOST_LINKS: usize = 40;

/// For each path of the tree the number of its package. A database may know a file by another way, through a link:
/// `/bin/sh` is `/usr/bin/sh`. Of two packages that claim a file the first one has it.
pub(crate) fn owners(index: &Index, packages: &[Package]) -> HashMap<PathBuf, usize> {
    let mut directories = HashMap::new();
    let mut owners = HashMap::new();
    for (number, package) in packages.iter().enumerate() {
        for path in package.files.iter().map(Path::new) {
            let parent = path.parent().unwrap_or(Path::new(""));
            let real = directories
                .entry(parent.to_owned())
                .or_insert_with(|| directory(index, parent));
            let (Some(real), Some(name)) = (real, path.file_name()) else {
                continue;
            };
            owners.entry(real.join(name)).or_insert(number);
        }
    }
    owners
}

/// Where a directory really is, links followed.
fn directory(index: &Index, path: &Path) -> Option<PathBuf> {
    let mut todo: Vec<PathBuf> = parts(path);
    let mut real = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        let entry = index.get(&next)?;
        if entry.kind == Kind::Symlink {
            links += 1;
            let target = entry.target.as_ref().filter(|_| links <= MOST_LINKS)?;
            if target.is_absolute() {
                real = PathBuf::new();
            }
            todo.extend(parts(target));
        } else {
            real = next;
        }
    }
    Some(real)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let part = |part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Tree;
    use tree::index::Times;

    #[test]
    fn links_on_the_way_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("usr/bin").unwrap();
        tree.symlink("usr/bin", "bin").unwrap();
        tree.symlink("../../usr/../bin", "usr/sbin").unwrap();
        tree.symlink("ring", "ring").unwrap();
        let index = Index::scan(&tree, Times::Keep).unwrap();
        for (path, real) in [
            ("bin", Some("usr/bin")),
            ("usr/sbin", Some("usr/bin")),
            ("ring", None),
            ("x", None),
        ] {
            assert_eq!(
                directory(&index, Path::new(path)).as_deref(),
                real.map(Path::new),
                "{path}"
            );
        }
    }
}
