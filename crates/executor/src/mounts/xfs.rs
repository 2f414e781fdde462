//! An XFS file system.
//!
//! Mounted by the kernel, unless `mkfs.xfs` was new enough (6.17) to fill it from a directory, which is then written into
//! the disk later on.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make, norecovery};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.xfs",
    text: include_str!("xfs.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "xfs"),
};

fn schema() -> Value {
    file_system::schema(true, json!({"norecovery": norecovery()}))
}
