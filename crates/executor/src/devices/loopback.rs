//! A file of the tree, or a stretch of it, as a block device.
//!
//! `start` and `size` are in sectors of `sector-size` bytes; without a size the device is the rest of the file.
//!
//! While only our own stages touch the disk there is no loop device: the stage is told the stretch (`data`: `file`, `start`,
//! `size` in bytes, `sector-size`, `read-only`), and `/dev/NAME` is a link to the whole file. For a foreign stage, or a
//! file system that only the kernel can mount, it is a loop device. With `partscan` its partitions have nodes as well
//! (`loop0p1`), also where the kernel reads no partition tables.

use std::os::fd::AsFd;

use sandbox::LoopOptions;
use serde_json::{Value, json};
use tree::Tree;

use super::range::{self, Range};
use super::real::{self, Loop};
use super::{DeviceModule, Opened, Opening, flag};

/// This file as a device.
pub(crate) static DEVICE: DeviceModule = DeviceModule {
    name: "org.osbuild.loopback",
    text: include_str!("loopback.rs"),
    schema,
    open,
};

fn schema() -> Value {
    json!({
        "additionalProperties": false,
        "required": ["filename"],
        "properties": {
            "filename": {"type": "string", "description": "The file of the tree."},
            "start": {"type": "number", "default": 0, "description": "Sectors before the device."},
            "size": {"type": "number", "description": "Sectors of the device; the rest of the file if not given."},
            "sector-size": {"type": "number", "default": 512, "description": "Bytes of a sector."},
            "partscan": {"type": "boolean", "description": "Make nodes for its partitions too."},
            "lock": {"type": "boolean", "description": "Lock the device, which keeps udev away."},
            "read-only": {"type": "boolean", "description": "Refuse to write to it."},
        },
    })
}

fn open(opening: &Opening<'_>) -> Result<Opened, String> {
    let range = Range::of_options(opening.options)?;
    let tree = Tree::open(opening.tree).map_err(|e| e.to_string())?;
    let file = range::open(&tree, &range.file, false).map_err(|e| format!("{}: {e}", range.file))?;
    let range = range.sized(&file)?;
    if opening.real {
        return open_real(opening, &tree, &range);
    }
    let link = opening.dev.join(opening.name);
    let target = format!("/run/osbuild/tree/{}", range.file);
    std::os::unix::fs::symlink(target, &link).map_err(|e| format!("cannot make {}: {e}", link.display()))?;
    let mut opened = Opened::default();
    opened.argument.insert("path".into(), opening.name.into());
    opened
        .argument
        .insert("data".into(), argument(&range, opening.content, false));
    Ok(opened)
}

/// What a stage of ours is told of the stretch.
pub(crate) fn argument(range: &Range, content: Option<&str>, filled: bool) -> Value {
    json!({
        "file": range.file,
        "start": range.start,
        "size": range.size,
        "sector-size": range.sector,
        "read-only": range.read_only,
        "content": content,
        "filled": filled,
    })
}

fn open_real(opening: &Opening<'_>, tree: &Tree, range: &Range) -> Result<Opened, String> {
    let image = range::open(tree, &range.file, true).map_err(|e| format!("{}: {e}", range.file))?;
    let bind = |range: &Range, partscan| {
        let options = LoopOptions {
            offset: range.start,
            size_limit: range.size.unwrap_or(0),
            block_size: u32::try_from(range.sector).unwrap_or(512),
            partscan,
            read_only: range.read_only,
            lock: flag(opening.options, "lock"),
        };
        Loop::bind(image.as_fd(), &options)
    };
    let partscan = flag(opening.options, "partscan");
    let device = bind(range, partscan)?;
    let (name, number) = (device.name(), device.number());
    real::make_node(opening.dev, &name, number)?;
    let mut opened = Opened::default();
    opened.argument.insert("path".into(), name.clone().into());
    opened
        .argument
        .insert("node".into(), json!({"major": number.0, "minor": number.1}));
    opened.held.push(Box::new(device));
    if !partscan {
        return Ok(opened);
    }
    let size = range.size.unwrap_or(0);
    let table =
        image::partitions::read(&image, range.start, size, range.sector).map_err(|e| e.to_string())?;
    for partition in table {
        let node = format!("{name}p{}", partition.number);
        if let Some(number) = real::partition_of(&name, &node) {
            real::make_node(opening.dev, &node, number)?;
            continue;
        }
        // this kernel reads no tables: a device of its own does as well
        let stretch = Range {
            start: range.start + partition.start,
            size: Some(partition.size),
            ..range.clone()
        };
        let device = bind(&stretch, false)?;
        real::make_node(opening.dev, &node, device.number())?;
        opened.held.push(Box::new(device));
    }
    Ok(opened)
}
