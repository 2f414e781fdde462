//! An empty directory.
//!
//! Nothing is mounted: the target is made where it is not there. For tests, and where a stage wants a mount.

use serde_json::{Value, json};

use super::{MountModule, Mounted};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.noop",
    text: include_str!("noop.rs"),
    schema,
    is_file_system: false,
    mount: |mounting| {
        Ok(Mounted {
            path: Some(mounting.directory(mounting.root, mounting.target)?),
            held: Vec::new(),
        })
    },
};

fn schema() -> Value {
    let properties = json!({
        "source": {"type": "string", "description": "Any device."},
        "partition": {"type": "number", "description": "Any number."},
        "target": {"type": "string", "description": "Where it appears, below the directory of all mounts."},
        "options": {"type": "object", "additionalProperties": true},
    });
    super::schema(&["source", "target"], properties)
}
