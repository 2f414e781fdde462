//! An ext4 file system.
//!
//! One that `org.osbuild.mkfs.ext4` of ours made is a directory, which is written into the disk later on, with `mke2fs`;
//! another one is mounted by the kernel.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make, norecovery};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.ext4",
    text: include_str!("ext4.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "ext4"),
};

fn schema() -> Value {
    file_system::schema(true, json!({"norecovery": norecovery()}))
}
