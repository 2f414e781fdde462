//! Devices and file systems on them, made by the executor itself. One file each, its documentation on top.
//!
//! A disk is a file of the tree. While all modules that touch it are ours, no kernel is asked for anything: a stage is
//! told which stretch of the file its device is, and a mounted file system is a directory.
//!
//! ```text
//! disk.img     | table |  ESP: FAT       |  root: ext4                     | backup |
//!                         start..+size      start..+size                              range.rs
//!                           |                 |
//! beside it, in the store   tree of the       tree of the                             sides.rs
//!                           ESP's files       root's files
//! ```
//!
//! The stage that makes a file system writes it, empty, and says that it could write it again with other content. From
//! then on there is a [`Side`](sides::Side): the tree of the file system's files. A stage that mounts the range gets the
//! tree as a directory, and its changes become the tree's next layer; one that copies a whole input into a fresh file
//! system gets that with the input below it instead (`graft.rs`). The disk is left behind, until somebody may look at
//! its bytes: a stage that opens that range as a device, that has no devices (and so sees the disk as a file), that is
//! foreign, or nobody any more, at the pipeline's end. Then the stage that made the file system runs again, with the tree
//! as its content. A digest of the range tells later on whether the bytes are still those; where they are not, the tree
//! counts for nothing.
//!
//! Real loop devices and mounts (`real.rs`, `mounts/file_system.rs`) serve foreign stages, and file systems that nobody
//! here made or can make.

pub(crate) mod fill;
pub(crate) mod graft;
pub(crate) mod loopback;
mod luks2;
mod lvm2_lv;
pub(crate) mod own;
pub(crate) mod range;
mod real;
pub(crate) mod setup;
pub(crate) mod sides;

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A kind of device.
pub(crate) struct DeviceModule {
    pub(crate) name: &'static str,
    /// Its file: the documentation is on top.
    text: &'static str,
    /// Draft 4, of its options.
    schema: fn() -> Value,
    pub(crate) open: fn(&Opening<'_>) -> Result<Opened, String>,
}

/// Every device, sorted by name.
pub(crate) static DEVICES: &[&DeviceModule] = &[&loopback::DEVICE, &luks2::DEVICE, &lvm2_lv::DEVICE];

/// A device being opened.
pub(crate) struct Opening<'a> {
    pub(crate) name: &'a str,
    pub(crate) options: &'a Map<String, Value>,
    /// The stage's tree on the host's side.
    pub(crate) tree: &'a Path,
    /// Where nodes are made that the stage finds in `/dev`.
    pub(crate) dev: &'a Path,
    /// The node of the device it lies on, below `dev`.
    pub(crate) parent: Option<&'a str>,
    /// Whether the kernel must have it.
    pub(crate) real: bool,
    /// Where the stage, if it makes a file system there, finds the files that are to be in it.
    pub(crate) content: Option<&'a str>,
}

/// An open device.
#[derive(Default)]
pub(crate) struct Opened {
    /// What the stage is told; `path` is below `/dev`.
    pub(crate) argument: Map<String, Value>,
    /// What must be given back, the last first.
    pub(crate) held: Vec<Box<dyn Held>>,
}

/// Something of the kernel's that must be given back.
pub(crate) trait Held {
    fn release(self: Box<Self>) -> Result<(), String>;
}

/// The device called `name`.
pub(crate) fn find(name: &str) -> Option<&'static DeviceModule> {
    DEVICES.iter().copied().find(|module| module.name == name)
}

/// The `.meta.json` of a device.
pub(crate) fn meta(name: &str) -> Option<Value> {
    let module = find(name)?;
    let mut meta = described(module.text);
    meta["schema"] = (module.schema)();
    Some(meta)
}

/// A digest of what decides how a device or mount is made.
pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

impl DeviceModule {
    pub(crate) fn digest(&self) -> String {
        digest(self.text)
    }
}

/// Summary and description, from the documentation on top of a file.
pub(crate) fn described(text: &str) -> Value {
    let doc = text.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: Vec<_> = doc.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let summary = doc.first().copied().unwrap_or("").trim_end_matches('.');
    let rest: Vec<_> = doc.iter().skip(1).skip_while(|line| line.is_empty()).collect();
    json!({"summary": summary, "description": rest})
}

/// Whether an option is set.
pub(crate) fn flag(options: &Map<String, Value>, name: &str) -> bool {
    options.get(name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_describes_itself() {
        assert!(DEVICES.is_sorted_by_key(|module| module.name));
        for module in DEVICES {
            let meta = meta(module.name).unwrap();
            assert!(!meta["summary"].as_str().unwrap().is_empty());
            assert!(!meta["description"].as_array().unwrap().is_empty());
            assert_eq!(meta["schema"]["additionalProperties"], false);
        }
        assert!(meta("org.osbuild.x").is_none());
    }
}
