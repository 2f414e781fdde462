//! A FAT file system.
//!
//! One that `org.osbuild.mkfs.fat` of ours made is a directory, which is written into the disk later on. FAT has no
//! owners, modes, attributes or links: in the directory files keep the first three, on the disk they are lost, and links
//! are refused there. `uid`, `gid`, `umask` and `shortname` say how the kernel shows another FAT file system, which it
//! mounts as `vfat`.

use serde_json::{Value, json};

use super::MountModule;
use super::file_system::{self, make};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.fat",
    text: include_str!("fat.rs"),
    schema,
    is_file_system: true,
    mount: |mounting| make(mounting, "vfat"),
};

fn schema() -> Value {
    file_system::schema(
        true,
        json!({
            "uid": {"type": "integer", "description": "The owner of all files."},
            "gid": {"type": "integer", "description": "The group of all files."},
            "umask": {
                "type": "string", "pattern": "^[0-7][0-7][0-7]$",
                "description": "The permissions that no file has.",
            },
            "shortname": {
                "type": "string", "enum": ["lower", "win95", "winnt", "mixed"],
                "description": "How short names are shown and made.",
            },
        }),
    )
}
