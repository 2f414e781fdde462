//! A tree's layers as one directory, for the executor itself: read-only, attached nowhere.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::steps::c_string;
use crate::sys::{self, Raw};
use crate::{Error, Result, rootless};

/// Beside the layers: what is read here is what boxes see.
const OPTIONS: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("xino", "off")];

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
            return Ok(Self { fd: owned(fd) });
        }
        if layers.is_empty() {
            return Err(Error::Plan("a tree needs at least one layer".into()));
        }
        let fd = by_context(layers).or_else(|_| by_mount(layers))?;
        Ok(Self { fd })
    }

    /// A path by which this process reaches the tree while the value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}

/// A detached mount, as Linux 6.5 and later make it: with an option for each layer.
fn by_context(layers: &[PathBuf]) -> Result<OwnedFd> {
    let fail = |e: rustix::io::Errno| Error::setup("mounting the overlay of a tree", e);
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
    let set = |key: &str, value: &str| fsconfig_set_string(context.as_fd(), key, value).map_err(fail);
    set("source", "overlay")?;
    for (key, value) in OPTIONS {
        set(key, value)?;
    }
    match rootless::is_in_first_namespace() {
        true => set("redirect_dir", "follow")?,
        false => fsconfig_set_flag(context.as_fd(), "userxattr").map_err(fail)?,
    }
    for layer in layers {
        set("lowerdir+", &layer.to_string_lossy())?;
    }
    fsconfig_create(context.as_fd()).map_err(fail)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)
}

/// The same for older kernels. There all layers are one option, for which `fsconfig` has no room: so it is mounted in the
/// table of mounts of a thread that is gone right after, and a clone of the mount stays.
fn by_mount(layers: &[PathBuf]) -> Result<OwnedFd> {
    let fail = |e: i32| {
        let cause = std::io::Error::from_raw_os_error(e);
        Error::setup("mounting the overlay of a tree", cause)
    };
    let paths: Vec<CString> = layers.iter().map(c_string).collect::<Result<_>>()?;
    let mount = || {
        // SAFETY: a system call without pointers; it changes this thread alone.
        sys::check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
        sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
        // opened only now: an overlay takes no layer of another table
        let layers = paths
            .iter()
            .map(|path| sys::open_path(path).map(owned))
            .collect::<Raw<Vec<OwnedFd>>>()?;
        // short names: the options have to fit into one page
        let names: Vec<String> = layers
            .iter()
            .map(|layer| format!("/proc/self/fd/{}", layer.as_raw_fd()))
            .collect();
        let options = OPTIONS.map(|(key, value)| format!("{key}={value}")).join(",");
        let redirects = match rootless::is_in_first_namespace() {
            true => "redirect_dir=follow",
            false => "userxattr",
        };
        let data = format!("lowerdir={},{options},{redirects}", names.join(":"));
        let data = CString::new(data).map_err(|_| libc::EINVAL)?;
        // any directory that is there
        let place = c"/proc";
        let flags = libc::MS_RDONLY | libc::MS_NODEV;
        sys::mount(c"overlay", place, c"overlay", flags, &data)?;
        let mounted = owned(sys::open_path(place)?);
        sys::clone_mount(mounted.as_raw_fd()).map(owned)
    };
    let mounted = std::thread::scope(|scope| scope.spawn(mount).join());
    mounted.unwrap_or(Err(libc::EIO)).map_err(fail)
}

/// A descriptor that was just opened and is nobody else's.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: see above.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_show_the_same() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        // a store's file system: /tmp may be an overlay or in memory
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let layers: Vec<PathBuf> = (0..50).map(|n| dir.path().join(format!("layer-{n}"))).collect();
        for (number, layer) in layers.iter().enumerate() {
            std::fs::create_dir(layer).unwrap();
            std::fs::write(layer.join("all"), number.to_string()).unwrap();
            std::fs::write(layer.join(format!("own-{number}")), "").unwrap();
        }
        let old = Merged {
            fd: by_mount(&layers).unwrap(),
        };
        let seen = |merged: &Merged| {
            let list = std::fs::read_dir(merged.path()).unwrap();
            let mut names: Vec<_> = list.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            (names, std::fs::read_to_string(merged.path().join("all")).unwrap())
        };
        assert_eq!(seen(&old).0.len(), 51);
        assert_eq!(seen(&old).1, "0");
        if let Ok(fd) = by_context(&layers) {
            assert_eq!(seen(&Merged { fd }), seen(&old));
        }
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !table.contains("layer-") && !table.contains("/proc/self/fd"),
            "{table}"
        );
    }
}
