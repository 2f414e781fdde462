//! Trees and devices on the host's side of a box, for host services: in a mount table that one thread has for itself.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::str::FromStr;

use caps::Capability;

use crate::rootless::become_towards_files;
use crate::steps::{c_string, root_steps};
use crate::sys::{self, check};
use crate::{Error, Layers, Mount, Result, Source, Step, UserNamespace, apply};

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
        root: c_string(root)?.into(),
        path: c_string(path)?.into(),
        target: c_string(target)?.into(),
        read_only: true,
        idmap: crate::Idmap::None,
        devices: false,
        optional: false,
        follow: false,
    };
    apply(&step, users)
}

/// Puts `layers` together and makes them appear at the existing directory `target`, with the box's owners. `bench` is a
/// path at which nothing is yet.
///
/// # Errors
/// The step that failed.
pub fn attach_tree(bench: &Path, layers: Layers, target: &Path, users: &UserNamespace) -> Result<()> {
    let fail = |e| Error::setup(format!("making {}", bench.display()), e);
    std::fs::create_dir(bench).map_err(fail)?;
    let read_only = layers.changes.is_none();
    let tree = Mount::Tree {
        layers,
        target: "/tree".into(),
    };
    attach(bench, &[tree], users)?;
    let step = Step::Clone {
        root: c_string(bench)?.into(),
        path: c_string(Path::new("tree"))?.into(),
        target: c_string(target)?.into(),
        read_only,
        idmap: crate::Idmap::None,
        devices: false,
        optional: false,
        follow: false,
    };
    let cloned = apply(&step, users);
    detach(bench)?;
    cloned?;
    std::fs::remove_dir(bench).map_err(fail)
}

/// Does `work` as the box's root towards file systems: what it makes belongs to it. Only for a thread that does nothing
/// else meanwhile.
pub fn as_root<T>(users: &UserNamespace, work: impl FnOnce() -> T) -> T {
    become_towards_files(users.root_id());
    let done = work();
    become_towards_files(0);
    done
}

/// A clone of what a bind takes, without what is mounted below it and attached nowhere; `None` for one that is not there
/// and may be missing. Any thread of this process may [`attach_clone`] it, in whatever mount table it has.
///
/// # Errors
/// The source is not there, or the process may not do so.
pub fn clone_source(source: &Source, writable: bool) -> Result<Option<OwnedFd>> {
    let operation = || format!("binding {}", source.root.join(&source.path).display());
    let fail = |errno: i32| Error::setup(operation(), std::io::Error::from_raw_os_error(errno));
    let (root, path) = (c_string(&source.root)?, c_string(&source.path)?);
    match apply::open_source(&root, &path) {
        Err(libc::ENOENT | libc::ELOOP | libc::ENOTDIR) if source.optional => Ok(None),
        Err(errno) => Err(fail(errno)),
        Ok(fd) => {
            let clone = sys::clone_mount(fd);
            sys::close(fd);
            // SAFETY: a new descriptor that nobody else has.
            let clone = clone.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
            let clone = clone.map_err(fail)?;
            let read_only = if writable { 0 } else { sys::MOUNT_ATTR_RDONLY };
            let attributes = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV | read_only;
            sys::set_mount(clone.as_raw_fd(), attributes, None).map_err(fail)?;
            Ok(Some(clone))
        }
    }
}

/// Attaches a [`clone_source`] at `target`, which is made where it is not there.
///
/// # Errors
/// It cannot be attached there.
pub fn attach_clone(clone: &OwnedFd, target: &Path) -> Result<()> {
    let place = c_string(target)?;
    apply::make_target(clone.as_raw_fd(), &place, UserNamespace::of_host().ids())
        .and_then(|()| sys::attach_mount(clone.as_raw_fd(), &place))
        .map_err(|errno| {
            let operation = format!("binding to {}", target.display());
            Error::setup(operation, std::io::Error::from_raw_os_error(errno))
        })
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

fn apply(step: &Step<'_>, users: &UserNamespace) -> Result<()> {
    apply::apply(step, users.ids()).map_err(|errno| Error::Step {
        step: step.to_string(),
        source: std::io::Error::from_raw_os_error(errno),
    })
}

/// The capability called `name`, such as `CAP_MAC_ADMIN`.
pub fn capability(name: &str) -> Option<Capability> {
    Capability::from_str(name).ok()
}
