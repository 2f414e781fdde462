//! A squashfs image, which nobody can write to.
//!
//! Mounted by the kernel.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.squashfs",
    text: include_str!("squashfs.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "squashfs"),
};

fn schema() -> Value {
    file_system::schema(false, json!({}))
}
