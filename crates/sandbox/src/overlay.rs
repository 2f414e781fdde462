//! A tree's layers as one directory, for the executor itself: read-only, attached nowhere.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::steps::c_string;
use crate::{Error, Result, sys};

/// A merged view of layers. It vanishes with this value.
#[derive(Debug)]
pub struct Merged {
    fd: OwnedFd,
}

impl Merged {
    /// Puts `layers` (topmost first) together.
    ///
    /// # Errors
    /// There is no layer, or the kernel refuses the overlay.
    pub fn open(layers: &[PathBuf]) -> Result<Self> {
        if let [single] = layers {
            let fd = sys::open_path(&c_string(single)?).map_err(|e| {
                Error::setup(
                    format!("opening {}", single.display()),
                    std::io::Error::from_raw_os_error(e),
                )
            })?;
            // SAFETY: a descriptor that was just opened and is nobody else's.
            return Ok(Self {
                fd: unsafe { OwnedFd::from_raw_fd(fd) },
            });
        }
        if layers.is_empty() {
            return Err(Error::Plan("a tree needs at least one layer".into()));
        }
        let fail =
            |e: rustix::io::Errno| Error::setup("mounting the overlay of a tree", std::io::Error::from(e));
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
        let set = |key: &str, value: &str| fsconfig_set_string(context.as_fd(), key, value);
        set("source", "overlay").map_err(fail)?;
        for (key, value) in [
            ("redirect_dir", "follow"),
            ("index", "off"),
            ("metacopy", "off"),
            ("xino", "off"),
        ] {
            set(key, value).map_err(fail)?;
        }
        // one option a layer needs Linux 6.5; before it there was one string for all
        let texts: Vec<_> = layers
            .iter()
            .map(|layer| layer.to_string_lossy().into_owned())
            .collect();
        if texts
            .iter()
            .try_for_each(|layer| set("lowerdir+", layer))
            .is_err()
        {
            set("lowerdir", &texts.join(":")).map_err(fail)?;
        }
        fsconfig_create(context.as_fd()).map_err(fail)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
        let fd = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)?;
        Ok(Self { fd })
    }

    /// A path by which this process reaches the tree while the value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}
