//! An EROFS image, which nobody can write to.
//!
//! Mounted by the kernel.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.erofs",
    text: include_str!("erofs.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "erofs"),
};

fn schema() -> Value {
    file_system::schema(false, json!({}))
}
