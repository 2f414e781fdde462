//! One entry from tree to tree.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::copy::{Options, apply, attributes_of, make};
use crate::walk::Entry;
use crate::{Error, Kind, Result, Tree};

/// Copies the entry `from_path`, which is no directory, to `to_path` with owner, mode, times and attributes, as
/// `cp -a --remove-destination` does. A link is copied as a link; a file or link at the destination is replaced, in one
/// step.
pub fn copy_entry(from: &Tree, from_path: &Path, to: &Tree, to_path: &Path) -> Result<()> {
    let missing = || Error::io("copy", from_path, std::io::ErrorKind::NotFound.into());
    let stat = from.stat(from_path)?.ok_or_else(missing)?;
    if stat.kind == Kind::Directory {
        return Err(Error::Unsuitable {
            path: from_path.to_owned(),
            reason: "is a directory".into(),
        });
    }
    let (dir, name) = from.parent_of(from_path)?;
    let source = Entry {
        path: from_path,
        stat,
        dir: dir.as_fd(),
        name: &name,
    };
    let room = make_room(to, to_path)?;
    let result = (|| {
        let room_dir = to.open_at(
            &room,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
            0,
        )?;
        let options = Options::default();
        make(&source, room_dir.as_fd())?;
        let attributes = attributes_of(&source, &options)?;
        apply(
            room_dir.as_fd(),
            &name,
            to_path,
            &stat,
            &attributes,
            &options,
            false,
        )?;
        to.rename(room.join(&name), to_path)
    })();
    let cleaned = to.remove_all(&room);
    result.and(cleaned)
}

/// A new directory beside `path`, in which a copy is made before it takes its place.
fn make_room(tree: &Tree, path: &Path) -> Result<PathBuf> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let mut number = 0;
    loop {
        let room = parent.join(format!(".copy-{number}"));
        if !tree.exists(&room) {
            tree.mkdir(&room, 0o700)?;
            return Ok(room);
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_at_the_destination_is_replaced_and_nothing_is_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("a", "new").unwrap();
        tree.chmod("a", 0o640).unwrap();
        tree.symlink(outside.path(), "b").unwrap();
        copy_entry(&tree, Path::new("a"), &tree, Path::new("b")).unwrap();
        assert_eq!(tree.read_text("b").unwrap(), "new");
        assert_eq!(tree.stat("b").unwrap().unwrap().mode, 0o640);
        assert_eq!(outside.path().metadata().unwrap().len(), 0);
        assert_eq!(tree.list("").unwrap(), ["a", "b"]);
    }
}
