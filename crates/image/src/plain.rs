//! A tree as tools may see it, which take every attribute that they find into an image.

use tempfile::TempDir;
use tree::Tree;
use tree::copy::{Options, copy_tree};
use tree::walk::walk;

use crate::{Error, Result};

/// A tree without the attribute that [keeps inode flags](tree::flags): itself, or, where an entry has one, a copy.
#[derive(Debug)]
pub struct Plain<'a> {
    original: &'a Tree,
    copy: Option<(Tree, TempDir)>,
}

impl<'a> Plain<'a> {
    /// Looks for flags; says so where they are left out.
    pub fn of(original: &'a Tree) -> Result<Self> {
        let mut flagged = None;
        let walked = walk(original, &mut |entry| {
            if entry.attributes_and_flags()?.1.is_empty() {
                return Ok(());
            }
            flagged = Some(entry.path.to_owned());
            Err(tree::Error::Stopped)
        });
        let Some(path) = flagged else {
            walked?;
            return Ok(Self { original, copy: None });
        };
        println!(
            "/{}: its inode flags are left out: they are kept in ext4 alone",
            path.display()
        );
        let dir = TempDir::new_in("/var/tmp").map_err(Error::io("make a directory"))?;
        let copy = Tree::open(dir.path())?;
        let options = Options {
            flags: false,
            ..Options::default()
        };
        copy_tree(original, &copy, &options)?;
        Ok(Self {
            original,
            copy: Some((copy, dir)),
        })
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        self.copy.as_ref().map_or(self.original, |(copy, _)| copy)
    }
}
