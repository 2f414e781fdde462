//! Laying out the tree of a commit, as `ostree checkout` does for root: with owners, modes and attributes.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, XattrFlags};
use tree::Tree;

use crate::archive::{Archive, read_file};
use crate::object::{Checksum, Kind, Meta};
use crate::{Error, Result};

impl Archive {
    /// Lays out the tree of a commit in the empty directory `to`. All times are 1970's, as `ostree` sets those of
    /// directories: the same commit gives the same tree.
    ///
    /// # Errors
    /// An object is missing or damaged; an owner or attribute cannot be set.
    pub fn checkout(&self, commit: Checksum, to: &Tree) -> Result<()> {
        let root = self.root_of(commit)?;
        let mut todo = vec![(PathBuf::new(), root.tree, root.meta)];
        let mut directories = Vec::new();
        while let Some((path, tree, meta)) = todo.pop() {
            let bytes = self.metadata(Kind::DirMeta, meta)?;
            let meta =
                Meta::of_dirmeta(&bytes).ok_or_else(|| Error::malformed(meta, Kind::DirMeta.extension()))?;
            if !path.as_os_str().is_empty() {
                fault::step!(Ok(())).map_err(|e| tree::Error::io("make", &path, e))?;
                to.mkdir(&path, 0o700)?;
            }
            let directory = self.directory(tree)?;
            for (name, file) in directory.files {
                self.checkout_file(file, to, &path.join(name))?;
            }
            for (name, tree, meta) in directory.directories {
                todo.push((path.join(name), tree, meta));
            }
            directories.push((path, meta));
        }
        // those below first: a directory may be one that nobody can write
        for (path, meta) in directories.iter().rev() {
            let directory = to.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
            apply(to, path, meta, &File::from(directory))?;
        }
        Ok(())
    }

    fn checkout_file(&self, checksum: Checksum, to: &Tree, path: &Path) -> Result<()> {
        let malformed = || Error::malformed(checksum, "filez");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = File::from(to.open_at(path, flags, 0o600)?);
        let mut out = BufWriter::new(fault::writer!(&file));
        let read = read_file(&mut BufReader::new(self.file(checksum)?), &mut out);
        out.flush().map_err(|e| tree::Error::io("write", path, e))?;
        drop(out);
        let (head, found) = read
            .map_err(|e| tree::Error::io("write", path, e))?
            .ok_or_else(malformed)?;
        if found != checksum {
            return Err(Error::Checksum {
                kind: "filez",
                wanted: checksum,
                found,
            });
        }
        if head.target.is_empty() {
            return apply(to, path, &head.meta, &file);
        }
        to.remove_file(path)?;
        to.symlink(&head.target, path)?;
        to.chown(path, Some(head.meta.uid), Some(head.meta.gid))?;
        Ok(to.set_mtime(path, 0, 0)?)
    }
}

fn apply(to: &Tree, path: &Path, meta: &Meta, opened: &File) -> Result<()> {
    let failed = |e: rustix::io::Errno| Error::from(tree::Error::errno("set the attributes of", path, e));
    // before the mode: a change of owner takes away its upper bits
    fault::step!(std::os::unix::fs::fchown(opened, Some(meta.uid), Some(meta.gid)))
        .map_err(|e| tree::Error::io("set the owner of", path, e))?;
    for (name, value) in &meta.attributes {
        rustix::fs::fsetxattr(opened, name.as_slice(), value, XattrFlags::empty()).map_err(failed)?;
    }
    let mode = rustix::fs::Mode::from_raw_mode(meta.mode & 0o7777);
    fault::step!(rustix::fs::fchmod(opened, mode)).map_err(failed)?;
    Ok(to.set_mtime(path, 0, 0)?)
}
