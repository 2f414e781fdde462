//! [`Chain`]: the open directories from a tree's root down to where a walk stands.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};

use crate::{Error, Result};

/// How many directories are kept open at once; those further up are opened again through `..` on the way back.
const OPEN: usize = 48;

/// A stack of directories of which only the deepest ones are open, so that no depth exhausts the descriptors.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Device and inode of each level, the root first: what an opened `..` must be.
    ids: Vec<(u64, u64)>,
    /// The descriptors of the last levels.
    open: VecDeque<OwnedFd>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            ids: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// Goes down into `dir`, which lies in the present top.
    pub(crate) fn push(&mut self, dir: OwnedFd, path: &Path) -> Result<()> {
        let st = fs::fstat(&dir).map_err(|e| Error::errno("stat", path, e))?;
        self.ids.push((st.st_dev, st.st_ino));
        self.open.push_back(dir);
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        Ok(())
    }

    /// The directory where the walk stands; `path` is for the message where there is none.
    pub(crate) fn top(&self, path: &Path) -> Result<BorrowedFd<'_>> {
        self.open
            .back()
            .map(AsFd::as_fd)
            .ok_or_else(|| Error::Unsuitable {
                path: path.to_owned(),
                reason: "no directory is open".into(),
            })
    }

    /// Goes up again; `path` is that of the directory left.
    pub(crate) fn pop(&mut self, path: &Path) -> Result<()> {
        self.ids.pop();
        let left = self.open.pop_back();
        if let (true, Some(id), Some(left)) = (self.open.is_empty(), self.ids.last(), left) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let up = fs::openat(&left, "..", flags, Mode::empty())
                .map_err(|e| Error::errno("open the parent of", path, e))?;
            let st = fs::fstat(&up).map_err(|e| Error::errno("stat the parent of", path, e))?;
            if (st.st_dev, st.st_ino) != *id {
                return Err(Error::Unsuitable {
                    path: path.to_owned(),
                    reason: "was moved while the tree was read".into(),
                });
            }
            self.open.push_back(up);
        }
        Ok(())
    }
}
