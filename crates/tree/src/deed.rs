//! What only the machine's root may do to an entry of a tree.
//!
//! The kernel lets nobody else set a label or make a device node: not the root of a box either. A module that needs it
//! tells the executor, which does it when the module has ended well.

use std::ffi::CStr;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Tree, xattr};

const SELINUX: &CStr = c"security.selinux";

/// One such thing, for an entry that is named beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Gives the entry itself this SELinux label, byte for byte: libselinux ends labels with a NUL.
    Label(Vec<u8>),
    /// Makes the entry, which must not be there.
    Device {
        /// Whether it is a block device, and not a character device.
        block: bool,
        major: u32,
        minor: u32,
        /// The twelve permission bits.
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

impl Deed {
    /// Does it to the entry `path` of `tree`; its last link is not followed.
    ///
    /// # Errors
    /// The kernel refuses ([`Error::is_refused`]), or the device is 0:0, which overlayfs takes for a removed file.
    pub fn apply(&self, tree: &Tree, path: &Path) -> Result<()> {
        match self {
            Self::Label(label) => set_label(tree, path, label),
            Self::Device { .. } => self.make_device(tree, path),
        }
    }

    fn make_device(&self, tree: &Tree, path: &Path) -> Result<()> {
        let Self::Device {
            block,
            major,
            minor,
            mode,
            uid,
            gid,
        } = self
        else {
            return Ok(());
        };
        if (*block, *major, *minor) == (false, 0, 0) {
            return Err(Error::Unsuitable {
                path: path.to_owned(),
                reason: "a tree cannot hold the device 0:0".into(),
            });
        }
        let kind = match block {
            true => FileType::BlockDevice,
            false => FileType::CharacterDevice,
        };
        let (dir, name) = tree.parent_of(path)?;
        let bits = Mode::from_raw_mode(mode & 0o7777);
        let owner = (Some(fs::Uid::from_raw(*uid)), Some(fs::Gid::from_raw(*gid)));
        // who asked for it has set the directory's time already
        let before = fs::fstat(&dir).map_err(|e| Error::errno("stat the directory of", path, e))?;
        fs::mknodat(&dir, &name, kind, bits, fs::makedev(*major, *minor))
            .and_then(|()| fs::chownat(&dir, &name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW))
            .and_then(|()| fs::chmodat(&dir, &name, bits, AtFlags::empty()))
            .and_then(|()| fs::utimensat(&dir, "", &times_of(&before), AtFlags::EMPTY_PATH))
            .map_err(|e| Error::errno("make the device", path, e))
    }
}

/// The modification time of `stat`, and no other.
fn times_of(stat: &fs::Stat) -> fs::Timestamps {
    fs::Timestamps {
        last_access: fs::Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        last_modification: fs::Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.cast_signed(),
        },
    }
}

/// A label that is there already is left alone: setting it would copy the whole file into the layer.
fn set_label(tree: &Tree, path: &Path, label: &[u8]) -> Result<()> {
    use std::os::fd::AsFd;
    let (dir, name) = tree.parent_of(path)?;
    if xattr::get(dir.as_fd(), &name, SELINUX, path)?.as_deref() == Some(label) {
        return Ok(());
    }
    xattr::put(dir.as_fd(), &name, SELINUX, label).map_err(|e| Error::errno("label", path, e))
}

impl Error {
    /// Whether the kernel said that this process may not do it.
    pub fn is_refused(&self) -> bool {
        let refused = [Errno::PERM, Errno::ACCESS].map(|errno| Some(errno.raw_os_error()));
        matches!(self, Self::Io { cause, .. } if refused.contains(&cause.raw_os_error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(path: &Path) -> Vec<u8> {
        let mut value = [0u8; 100];
        let length = fs::lgetxattr(path, SELINUX, &mut value).unwrap();
        value[..length].to_vec()
    }

    #[test]
    fn labels_and_devices_stay_in_the_tree() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("f", "x").unwrap();
        tree.symlink("/f", "link").unwrap();
        let deed = Deed::Label(b"u:r:t:s0\0".to_vec());
        match deed.apply(&tree, Path::new("/f")) {
            Err(error) if error.is_refused() => return println!("skipped: {error}"),
            other => other.unwrap(),
        }
        assert_eq!(attribute(&dir.path().join("f")), b"u:r:t:s0\0");
        // the link itself, not what it leads to
        Deed::Label(b"other\0".to_vec())
            .apply(&tree, Path::new("link"))
            .unwrap();
        assert_eq!(attribute(&dir.path().join("f")), b"u:r:t:s0\0");
        let null = Deed::Device {
            block: false,
            major: 0,
            minor: 0,
            mode: 0o666,
            uid: 0,
            gid: 0,
        };
        assert!(null.apply(&tree, Path::new("n")).is_err());
        assert!(!tree.exists("n"));
    }
}
