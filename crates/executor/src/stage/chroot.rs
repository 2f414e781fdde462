//! What a foreign module needs to run a program of its tree under chroot(2).
//!
//! It mounts `/proc`, `/sys` and `/dev` into the tree first. In the user namespace of its box the kernel gives new ones
//! to nobody: the other namespaces are not owned by it, and part of a mount from outside cannot be had alone. So a
//! `mount` stands before the build root's in `PATH` that gives the box's own, as they are. To make writable what is so
//! already it does nothing: the kernel would refuse, since the flags that came from outside are not in the command.

use std::path::{Path, PathBuf};

use sandbox::{Idmap, Mount, Source};

use super::plan::set_mode;
use crate::{Error, Result};

/// Where modules look for programs, without and with what stands in for some.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin";
pub(super) const PATH_WITH_TOOLS: &str = "/run/osbuild/tools:/usr/sbin:/usr/bin";

/// The last argument is where to mount.
const MOUNT: &str = r#"#!/bin/sh
for last; do :; done
case " $* " in
*" -t proc "* | *"bind /proc "*) set -- --rbind /proc "$last" ;;
*" -t sysfs "*) set -- --rbind /sys "$last" ;;
*" -t devtmpfs "* | *"bind /dev "*) set -- --rbind /dev "$last" ;;
*remount,rw*) test -w "$last" && exit ;;
esac
exec /usr/bin/mount "$@"
"#;

/// The program, written into `scratch`, at its place in the box.
pub(super) fn mount_program(scratch: &Path) -> Result<Mount> {
    let path: PathBuf = scratch.join("mount");
    std::fs::write(&path, MOUNT).map_err(|e| Error::io("write", &path, e))?;
    set_mode(&path, 0o755)?;
    Ok(Mount::Bind {
        source: Source::at(path),
        target: "/run/osbuild/tools/mount".into(),
        writable: false,
        idmap: Idmap::Required,
    })
}
