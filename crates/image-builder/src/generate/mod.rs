//! From what was asked for and what apt has chosen to a manifest in format 2.
//!
//! A pure function: the same request and packages give the same text. Nothing is drawn from a clock or a random source;
//! UUIDs derive from the content of the tree.

mod files;
mod ids;
mod install;
mod os;
mod sources;
mod system;
mod users;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::apt::{Pinned, Repository};
use crate::blueprint::Blueprint;
use crate::distro::Distro;
use crate::error::{Failure, Result};
use crate::image_type::ImageType;

pub use install::{deb_stage, pinned_sources};

/// The size of a disk that nobody has given one.
const DISK: u64 = 10 << 30;

/// What a disk has beside its root file system: partition tables, boot partitions.
const BESIDE_ROOT: u64 = 512 << 20;

/// What shall be made.
#[derive(Debug)]
pub struct Request<'a> {
    pub distro: &'static Distro,
    pub image: ImageType,
    pub blueprint: &'a Blueprint,
    /// The size of the disk in bytes, where one was asked for.
    pub size: Option<u64>,
}

/// What it is made of.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The packages of the image, in apt's order.
    pub os: Vec<Pinned>,
    /// The packages of the build root; none with the host's tools.
    pub build: Option<Vec<Pinned>>,
    /// The newest date of the repositories, in seconds since 1970.
    pub epoch: i64,
    /// The repositories they came from.
    pub repositories: Vec<Repository>,
    /// The repositories as the installed system has them.
    pub installed: Vec<Repository>,
}

/// The manifest.
pub fn manifest(request: &Request<'_>, resolved: &Resolved) -> Result<Value> {
    check_size(request, &resolved.os)?;
    let mut inline = BTreeMap::new();
    let mut stages = os::stages(request, resolved, &mut inline)?;
    let ids = ids::Ids::of(request, resolved.epoch, &stages);
    stages.extend(os::boot_stages(request, &ids));

    let epoch = resolved.epoch;
    let mut pipelines = Vec::new();
    let on_host = resolved.build.is_none();
    if let Some(tools) = &resolved.build {
        let stage = deb_stage(tools, json!({"unpack_only": true}));
        pipelines.push(json!({"name": "build", "source-epoch": epoch, "stages": [stage]}));
    }
    pipelines.push(pipeline("os", on_host, epoch, stages));
    pipelines.push(pipeline("image", on_host, epoch, vec![assembler(request, &ids)]));

    let packages = resolved.build.iter().flatten().chain(&resolved.os);
    let mut sources = pinned_sources(packages, &resolved.repositories);
    if !inline.is_empty() {
        let items: Map<String, Value> = inline
            .into_iter()
            .map(|(digest, data)| (digest, json!({"encoding": "base64", "data": data})))
            .collect();
        sources.insert("org.osbuild.inline".into(), json!({"items": items}));
    }
    Ok(json!({
        "version": "2",
        "metadata": {"generators": [{"name": "image-builder", "version": env!("CARGO_PKG_VERSION")}]},
        "pipelines": pipelines,
        "sources": sources,
    }))
}

fn pipeline(name: &str, on_host: bool, epoch: i64, stages: Vec<Value>) -> Value {
    let mut pipeline = json!({"name": name});
    if !on_host {
        pipeline["build"] = json!("name:build");
    }
    pipeline["source-epoch"] = json!(epoch);
    pipeline["stages"] = json!(stages);
    pipeline
}

fn assembler(request: &Request<'_>, ids: &ids::Ids) -> Value {
    let filename = request.image.filename();
    let options = match request.image {
        ImageType::Qcow2 | ImageType::Raw => json!({
            "filename": filename,
            "root_fs_uuid": ids.root_fs,
            "ptuuid": ids.partition_table,
            "size": disk_size(request),
        }),
        ImageType::Tar => json!({"filename": filename, "compression": "xz"}),
        ImageType::OstreeCommit => ostree_options(request),
    };
    json!({
        "type": request.image.assembler(),
        "inputs": {
            "tree": {
                "type": "org.osbuild.tree",
                "origin": "org.osbuild.pipeline",
                "references": ["name:os"],
            },
        },
        "options": options,
    })
}

fn ostree_options(request: &Request<'_>) -> Value {
    let reference = format!("{}/x86_64", request.distro.id.replace('-', "/"));
    let mut options = json!({"ref": reference});
    if !request.blueprint.version.is_empty() {
        options["os_version"] = json!(request.blueprint.version);
    }
    options
}

/// What was asked for on the command line, else what the blueprint needs for `/`, else the usual size.
fn disk_size(request: &Request<'_>) -> u64 {
    let filesystems = &request.blueprint.customizations.filesystem;
    let root = filesystems.iter().map(|filesystem| filesystem.minsize.0).max();
    let needed = root.map_or(0, |size| size.saturating_add(BESIDE_ROOT));
    // whole mebibytes, as partitions are aligned
    request.size.unwrap_or(DISK.max(needed)).div_ceil(1 << 20) << 20
}

/// Refuses a disk that cannot hold even the packages. How much more it needs is known when the tree is there.
fn check_size(request: &Request<'_>, packages: &[Pinned]) -> Result<()> {
    let size = disk_size(request);
    let installed = packages.iter().map(|package| package.installed);
    let needed = installed.fold(0, u64::saturating_add);
    if !request.image.is_disk() || size >= needed {
        return Ok(());
    }
    let message = format!(
        "a disk of {} MiB is too small: its packages alone take {} MiB",
        size >> 20,
        needed.div_ceil(1 << 20)
    );
    Err(Failure::input(message).hint("`--size` names another size"))
}

#[cfg(test)]
mod tests;
