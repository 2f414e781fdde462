//! A directory for sockets that others are told the path of.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// The length of a socket's path has this limit (`sun_path`, less the final NUL).
const LONGEST: usize = 107;

/// Where sockets go whose path would be too long.
const SHORT: &str = "/run/osbuild";

/// A directory that is removed with the value.
#[derive(Debug)]
pub(crate) struct SocketDir(PathBuf);

impl SocketDir {
    /// A directory in `scratch`, or elsewhere if the path of a socket called `name` in it were too long.
    pub(crate) fn new(scratch: &Path, name: &str) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let near = scratch.join(format!("api-{name}"));
        let path = if near.join(name).as_os_str().len() <= LONGEST {
            near
        } else {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            Path::new(SHORT).join(format!("api-{}-{number}", std::process::id()))
        };
        std::fs::create_dir_all(&path).map_err(|e| Error::io("make", &path, e))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        // at the worst an empty directory stays in memory until the machine restarts
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
