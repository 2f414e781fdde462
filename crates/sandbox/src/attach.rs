//! Trees and devices on the host's side of a box, for host services: in a mount table that one thread has for itself.
#![allow(unsafe_code)]

use std::path::Path;
use std::str::FromStr;

use caps::Capability;

use crate::steps::{c_string, root_steps};
use crate::sys::{self, check};
use crate::{Error, Mount, Result, Step, UserNamespace, apply};

/// Gives the calling thread, and the processes and threads it makes from now on, a mount table of their own. What is
/// mounted in it vanishes with the last of them. The thread's working directory becomes its own too.
///
/// # Errors
/// The process may not do so.
pub fn own_mount_table() -> Result<()> {
    let fail = |e: i32| Error::setup("making a mount namespace", std::io::Error::from_raw_os_error(e));
    // SAFETY: namespace flags. Only the calling thread is affected.
    check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FS | libc::CLONE_NEWNS) }).map_err(fail)?;
    sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"").map_err(fail)
}

/// Puts a memory file system on the directory `scaffold` and makes `mounts` in it, as [`start`](crate::start) does for
/// the root of a box: trees show the box's owners. Only for a thread with its [`own_mount_table`].
///
/// # Errors
/// The step that failed.
pub fn attach(scaffold: &Path, mounts: &[Mount], users: &UserNamespace) -> Result<()> {
    for step in root_steps(scaffold, mounts)? {
        apply(&step, users)?;
    }
    Ok(())
}

/// Makes a part of what [`attach`] made appear at `target`, read-only. No link on the way to `path` is followed.
///
/// # Errors
/// There is no such part, or no such target.
pub fn attach_part(root: &Path, path: &Path, target: &Path, users: &UserNamespace) -> Result<()> {
    let step = Step::Clone {
        root: c_string(root)?,
        path: c_string(path)?,
        target: c_string(target)?,
        read_only: true,
        idmap: crate::Idmap::None,
        devices: false,
        optional: false,
    };
    apply(&step, users)
}

/// Lets go of the mount at `path`, with all below it.
///
/// # Errors
/// There is none.
pub fn detach(path: &Path) -> Result<()> {
    sys::unmount(&c_string(path)?).map_err(|e| {
        let operation = format!("unmounting {}", path.display());
        Error::setup(operation, std::io::Error::from_raw_os_error(e))
    })
}

fn apply(step: &Step, users: &UserNamespace) -> Result<()> {
    apply::apply(step, users.ids()).map_err(|errno| Error::Step {
        step: step.to_string(),
        source: std::io::Error::from_raw_os_error(errno),
    })
}

/// The capability called `name`, such as `CAP_MAC_ADMIN`.
pub fn capability(name: &str) -> Option<Capability> {
    Capability::from_str(name).ok()
}
