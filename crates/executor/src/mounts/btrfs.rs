//! A btrfs file system, or a subvolume of it.
//!
//! Always mounted by the kernel: subvolumes and compression are its own.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make, norecovery};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.btrfs",
    text: include_str!("btrfs.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "btrfs"),
};

fn schema() -> Value {
    file_system::schema(
        true,
        json!({
            "norecovery": norecovery(),
            "subvol": {"type": "string", "description": "The subvolume to mount."},
            "compress": {"type": "string", "description": "How new files are compressed, such as `zstd:1`."},
        }),
    )
}
