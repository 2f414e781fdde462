//! File systems that a stage is given, made by the executor itself. One file each, its documentation on top.
//!
//! They lie below one directory, `/run/osbuild/mounts` in the box, each at its `target`, a later one perhaps on an earlier
//! one. How a file system of a disk becomes a directory is told in [`devices`](crate::devices).

mod bind;
mod btrfs;
mod erofs;
mod ext4;
mod fat;
mod file_system;
mod noop;
mod ostree_deployment;
mod squashfs;
mod xfs;

use std::path::{Path, PathBuf};

use sandbox::{Layers, UserNamespace};
use serde_json::{Map, Value, json};
use tree::Tree;

use crate::devices::{Held, described, digest};

/// A kind of mount.
pub(crate) struct MountModule {
    pub(crate) name: &'static str,
    /// Its file: the documentation is on top.
    text: &'static str,
    /// Draft 4, of the whole entry.
    schema: fn() -> Value,
    /// Whether it is a file system on a device.
    is_file_system: bool,
    pub(crate) mount: fn(&Mounting<'_>) -> Result<Mounted, String>,
}

/// Every mount, sorted by name.
pub(crate) static MOUNTS: &[&MountModule] = &[
    &bind::MOUNT,
    &btrfs::MOUNT,
    &erofs::MOUNT,
    &ext4::MOUNT,
    &fat::MOUNT,
    &noop::MOUNT,
    &ostree_deployment::MOUNT,
    &squashfs::MOUNT,
    &xfs::MOUNT,
];

/// A mount being made.
pub(crate) struct Mounting<'a> {
    /// The node of its device on the host, or of the device's partition.
    pub(crate) source: Option<String>,
    pub(crate) target: &'a str,
    pub(crate) options: &'a Map<String, Value>,
    /// The directory that all mounts lie in, and the stage's tree: on the host's side.
    pub(crate) root: &'a Path,
    pub(crate) tree: &'a Path,
    pub(crate) users: &'a UserNamespace,
    /// What is shown instead of the device's content.
    pub(crate) shown: Option<Shown>,
    /// A path at which nothing is.
    pub(crate) bench: &'a Path,
}

/// The files of a file system, in place of the file system.
pub(crate) enum Shown {
    Layers(Layers),
    /// What an earlier mount shows at this path.
    Again(PathBuf),
}

/// A mount that was made.
#[derive(Default)]
pub(crate) struct Mounted {
    /// Where it appears below the root of all mounts, as the stage is told; none for one that appears elsewhere.
    pub(crate) path: Option<PathBuf>,
    /// What must be given back, the last first.
    pub(crate) held: Vec<Box<dyn Held>>,
}

/// The mount called `name`.
pub(crate) fn find(name: &str) -> Option<&'static MountModule> {
    MOUNTS.iter().copied().find(|module| module.name == name)
}

/// Whether `name` is a file system on a device, and ours.
pub(crate) fn is_file_system(name: &str) -> bool {
    find(name).is_some_and(|module| module.is_file_system)
}

/// The `.meta.json` of a mount.
pub(crate) fn meta(name: &str) -> Option<Value> {
    let module = find(name)?;
    let mut meta = described(module.text);
    meta["schema_2"] = (module.schema)();
    Some(meta)
}

impl MountModule {
    pub(crate) fn digest(&self) -> String {
        digest(&[self.text, include_str!("file_system.rs")].concat())
    }
}

impl Mounting<'_> {
    /// The directory `target` below `root`, made where it is not there; links on the way do not lead out of `root`.
    pub(crate) fn directory(&self, root: &Path, target: &str) -> Result<PathBuf, String> {
        let make = || -> Result<PathBuf, tree::Error> {
            let root = Tree::open(root)?;
            let target = target.trim_matches('/');
            if !root.is_dir(target) {
                root.mkdir_all(target)?;
            }
            real_path(&root, target)
        };
        sandbox::as_root(self.users, make).map_err(|e| format!("no mount point: {e}"))
    }

    /// The directory `path` below `root`, which must be there.
    pub(crate) fn existing(&self, root: &Path, path: &str) -> Result<PathBuf, String> {
        let tree = Tree::open(root).map_err(|e| e.to_string())?;
        real_path(&tree, path.trim_matches('/')).map_err(|e| e.to_string())
    }
}

/// Where the kernel says that a directory of a tree lies: a path without links.
fn real_path(tree: &Tree, path: &str) -> Result<PathBuf, tree::Error> {
    use std::os::fd::AsRawFd;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let fd = tree.open_at(if path.is_empty() { "." } else { path }, flags, 0)?;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .map_err(|e| tree::Error::io("find", path, e))
}

/// Something mounted at a path.
pub(crate) struct At(pub(crate) PathBuf);

impl Held for At {
    fn release(self: Box<Self>) -> Result<(), String> {
        use rustix::mount::{UnmountFlags, unmount};
        // written out now, whoever holds on to it for a moment
        let synced = std::fs::File::open(&self.0).and_then(|dir| Ok(rustix::fs::syncfs(dir)?));
        let gone = unmount(&self.0, UnmountFlags::NOFOLLOW)
            .or_else(|_| unmount(&self.0, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW));
        let failed = |e: std::io::Error| format!("cannot unmount {}: {e}", self.0.display());
        synced.map_err(failed)?;
        gone.map_err(|e| failed(e.into()))
    }
}

/// The schema of a mount: `name` and `type`, then `required` ones of `properties`.
fn schema(required: &[&str], mut properties: Value) -> Value {
    for name in ["name", "type"] {
        properties[name] = json!({"type": "string"});
    }
    let required: Vec<&str> = ["name", "type"]
        .into_iter()
        .chain(required.iter().copied())
        .collect();
    json!({"additionalProperties": false, "required": required, "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_describes_itself() {
        assert!(MOUNTS.is_sorted_by_key(|module| module.name));
        for module in MOUNTS {
            let meta = meta(module.name).unwrap();
            assert!(!meta["summary"].as_str().unwrap().is_empty());
            assert!(
                !meta["description"].as_array().unwrap().is_empty(),
                "{}",
                module.name
            );
            assert_eq!(meta["schema_2"]["required"][0], "name");
        }
        assert!(meta("org.osbuild.x").is_none());
    }
}
