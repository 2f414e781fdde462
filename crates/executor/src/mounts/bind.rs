//! What is mounted, made to appear in the tree as well.
//!
//! `options.source` is a location `mount://PATH`, below the directory of all mounts, or `tree://PATH`; `target` is one
//! `tree://PATH`. What is mounted below the source comes along.

use std::path::PathBuf;

use rustix::mount::mount_bind_recursive;
use serde_json::{Value, json};

use super::{At, MountModule, Mounted, Mounting};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.bind",
    text: include_str!("bind.rs"),
    schema,
    is_file_system: false,
    mount,
};

fn schema() -> Value {
    // `source` stands where the Python osbuild has it: beside `properties`, where it checks nothing
    let properties = json!({
        "target": {"type": "string", "pattern": "^tree://", "description": "Where in the tree it appears."},
        "options": {
            "required": ["source"],
            "source": {"type": "string", "pattern": "^mount://"},
        },
    });
    super::schema(&["target"], properties)
}

fn mount(mounting: &Mounting<'_>) -> Result<Mounted, String> {
    let source = mounting
        .options
        .get("source")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (source, target) = (place(mounting, source)?, place(mounting, mounting.target)?);
    mount_bind_recursive(&source, &target).map_err(|e| format!("cannot bind {}: {e}", source.display()))?;
    Ok(Mounted {
        path: None,
        held: vec![Box::new(At(target))],
    })
}

/// The directory that a location names.
fn place(mounting: &Mounting<'_>, location: &str) -> Result<PathBuf, String> {
    let (root, path) = match location.split_once("://") {
        Some(("tree", path)) => (mounting.tree, path),
        Some(("mount", path)) => (mounting.root, path),
        _ => return Err(format!("`{location}` is neither mount://… nor tree://…")),
    };
    mounting
        .existing(root, path)
        .map_err(|e| format!("{location}: {e}"))
}
