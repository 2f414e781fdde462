//! The artifacts: how each is made of a small tree, and what reads it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::read_back as read;

const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";
const GUID: &str = "D209C89E-EA5E-4FBD-B161-B461CCE297E0";

/// One of the pipelines.
pub struct Artifact {
    pub name: &'static str,
    /// The stage, or assembler, and what comes before it.
    pub stages: Vec<Value>,
    /// What reads it.
    pub tools: &'static [&'static str],
    /// Reads it: its directory, and an empty one to unpack into.
    pub read: fn(&Path, &Path) -> Result<()>,
}

fn tree_input(pipeline: &str) -> Value {
    json!({"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{pipeline}")]})
}

fn of_tree(kind: &str, options: Value) -> Vec<Value> {
    vec![json!({"type": kind, "inputs": {"tree": tree_input("tree")}, "options": options})]
}

/// A stage with a file of another pipeline as its input.
fn of_file(kind: &str, input: &str, pipeline: &str, file: &str, options: Value) -> Vec<Value> {
    let input_of_file = json!({
        "type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
        "references": {format!("name:{pipeline}"): {"file": file}},
    });
    vec![json!({"type": kind, "inputs": {input: input_of_file}, "options": options})]
}

fn converted(format: Value) -> Vec<Value> {
    of_file(
        "org.osbuild.qemu",
        "image",
        "disk",
        "disk.raw",
        json!({"filename": "image", "format": format}),
    )
}

fn device(file: &str) -> Value {
    json!({"type": "org.osbuild.loopback", "options": {"filename": file}})
}

fn truncate(file: &str, size: &str) -> Value {
    json!({"type": "org.osbuild.truncate", "options": {"filename": file, "size": size}})
}

/// A stage that works on an empty file.
fn on_device(kind: &str, options: Value) -> Vec<Value> {
    let stage = json!({"type": kind, "options": options, "devices": {"device": device("disk.raw")}});
    vec![truncate("disk.raw", "64M"), stage]
}

fn assembled(format: &str, more: Value) -> Vec<Value> {
    let mut options = json!({
        "format": format, "filename": "image", "size": 64 << 20, "ptuuid": GUID, "pttype": "gpt", "partitions": [
            {"size": 20_480, "filesystem": {"type": "vfat", "uuid": "7B77-95E7", "mountpoint": "/boot"}},
            {"filesystem": {"type": "ext4", "uuid": UUID, "mountpoint": "/"}},
        ],
    });
    options
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    of_tree("org.osbuild.qemu.assembler", options)
}

fn verity() -> Vec<Value> {
    vec![
        truncate("data", "8M"),
        truncate("hashes", "4M"),
        json!({"type": "org.osbuild.mkfs.ext4", "options": {"uuid": UUID}, "devices": {"device": device("data")}}),
        json!({
            "type": "org.osbuild.dmverity", "options": {"root_hash_file": "root"},
            "devices": {"data_device": device("data"), "hash_device": device("hashes")},
        }),
    ]
}

/// All of them, those first that others are made of.
pub fn artifacts() -> Vec<Artifact> {
    let mut all = Vec::new();
    let mut add = |name, stages, tools, read| {
        all.push(Artifact {
            name,
            stages,
            tools,
            read,
        });
    };
    let named = |name: &str| json!({"filename": name});
    add(
        "tar",
        of_tree("org.osbuild.tar", named("tree.tar")),
        &["tar"],
        read::tar as _,
    );
    add(
        "tar-xz",
        of_tree("org.osbuild.tar", named("tree.tar.xz")),
        &["tar", "xz"],
        read::tar,
    );
    add(
        "tar-zst",
        of_tree("org.osbuild.tar", named("tree.tar.zst")),
        &["tar", "zstd"],
        read::tar,
    );
    let bzip2 = json!({"filename": "tree.tar.bz2", "compression": "bzip2"});
    add(
        "tar-bz2",
        of_tree("org.osbuild.tar.assembler", bzip2),
        &["tar", "bzip2"],
        read::tar,
    );
    add(
        "cpio",
        of_tree("org.osbuild.cpio.out", named("tree.cpio")),
        &["cpio"],
        read::cpio,
    );
    add(
        "zip",
        of_tree("org.osbuild.zip", named("tree.zip")),
        &["unzip"],
        read::zip,
    );
    for (name, kind) in [
        ("gzip", "org.osbuild.gzip"),
        ("xz", "org.osbuild.xz"),
        ("zstd", "org.osbuild.zstd"),
    ] {
        let stages = of_file(kind, "file", "tar", "tree.tar", named("file"));
        match name {
            "gzip" => add(name, stages, &["gzip"], read::gzip),
            "xz" => add(name, stages, &["xz"], read::xz),
            _ => add(name, stages, &["zstd"], read::zstd),
        }
    }
    let zstd = json!({"filename": "fs", "compression": {"method": "zstd"}});
    add(
        "squashfs",
        of_tree("org.osbuild.squashfs", zstd),
        &["unsquashfs"],
        read::squashfs,
    );
    let lz4 = json!({"filename": "fs", "compression": {"method": "lz4"}});
    add(
        "erofs",
        of_tree("org.osbuild.erofs", lz4),
        &["fsck.erofs"],
        read::erofs,
    );
    let iso = json!({"filename": "image.iso", "volid": "TEST"});
    add(
        "iso",
        of_tree("org.osbuild.xorrisofs", iso),
        &["xorriso"],
        read::iso,
    );

    let fs = json!({"filename": "fs", "root_fs_uuid": UUID, "size": 64 << 20});
    add(
        "rawfs",
        of_tree("org.osbuild.rawfs", fs),
        &["e2fsck", "debugfs"],
        read::ext4,
    );
    add(
        "disk",
        assembled("raw", json!({"filename": "disk.raw"})),
        &["sgdisk"],
        read::raw_disk,
    );
    add(
        "disk-xz",
        assembled("raw.xz", json!({})),
        &["xz", "sgdisk"],
        read::packed_disk,
    );
    for (name, format) in [
        ("asm-qcow2", "qcow2"),
        ("asm-vdi", "vdi"),
        ("asm-vmdk", "vmdk"),
        ("asm-vpc", "vpc"),
        ("asm-vhdx", "vhdx"),
    ] {
        add(name, assembled(format, json!({})), &["qemu-img"], read::image);
    }
    let declared = json!({
        "filename": "image", "format": "qcow2", "uuid": GUID, "partitions": [
            {"name": "esp", "type": "esp", "size": "34 MiB", "filesystem": {"type": "fat", "mountpoint": "/boot", "uuid": "5C3A-91D7"}},
            {"name": "root", "filesystem": {"type": "ext4", "mountpoint": "/", "uuid": UUID}},
        ],
    });
    add(
        "declared",
        of_tree("org.osbuild.disk", declared),
        &["qemu-img", "sgdisk"],
        read::declared,
    );
    for (name, kind) in [("raw", "org.osbuild.raw"), ("qcow2", "org.osbuild.qcow2")] {
        let options = json!({"filename": "image", "root_fs_uuid": UUID, "size": "300 MiB"});
        add(name, of_tree(kind, options), &["qemu-img"], read::image);
    }
    for (name, format) in [
        ("qemu-qcow2", json!({"type": "qcow2"})),
        (
            "qemu-qcow2-plain",
            json!({"type": "qcow2", "compression": false, "compat": "0.10"}),
        ),
        ("qemu-vdi", json!({"type": "vdi"})),
        ("qemu-vpc", json!({"type": "vpc", "subformat": "dynamic"})),
        ("qemu-vpc-fixed", json!({"type": "vpc"})),
        ("qemu-vhdx", json!({"type": "vhdx"})),
        ("qemu-vmdk", json!({"type": "vmdk"})),
        (
            "qemu-vmdk-stream",
            json!({"type": "vmdk", "subformat": "streamOptimized"}),
        ),
    ] {
        add(name, converted(format), &["qemu-img"], read::image);
    }
    let stream = json!({"type": "vmdk", "subformat": "streamOptimized"});
    let vmdk = json!({"filename": "image.vmdk", "format": stream});
    let mut ova = of_file("org.osbuild.qemu", "image", "disk", "disk.raw", vmdk);
    ova.push(json!({"type": "org.osbuild.ovf", "options": {"vmdk": "image.vmdk"}}));
    add("ovf", ova, &["python3", "sha256sum"], read::ovf);
    let members =
        json!({"filename": "image.ova", "format": "ustar", "paths": ["image.ovf", "image.mf", "image.vmdk"]});
    let pack = json!({"type": "org.osbuild.tar", "inputs": {"tree": tree_input("ovf")}, "options": members});
    add("ova", vec![pack], &["tar", "qemu-img"], read::ova);
    let libvirt = of_file(
        "org.osbuild.vagrant",
        "image",
        "qemu-qcow2",
        "image",
        json!({"provider": "libvirt"}),
    );
    add("vagrant", libvirt, &["qemu-img", "python3"], read::vagrant);
    add("verity", verity(), &["veritysetup"], read::verity);

    let container = json!({"type": "org.osbuild.oci-archive", "options": {"architecture": "amd64", "filename": "image.tar"},
        "inputs": {"base": tree_input("tree"), "layer.1": tree_input("ovf")}});
    add(
        "oci",
        vec![container],
        &["skopeo", "umoci", "tar"],
        read::container,
    );
    let assembler =
        json!({"architecture": "amd64", "filename": "image.tar", "config": {"Cmd": ["/bin/true"]}});
    add(
        "asm-oci",
        of_tree("org.osbuild.oci-archive.assembler", assembler),
        &["skopeo", "umoci", "tar"],
        read::container,
    );
    let commit = json!({"ref": "test/small", "os_version": "1"});
    add(
        "commit",
        vec![
            json!({"type": "org.osbuild.ostree.commit", "inputs": {"tree": tree_input("system")}, "options": commit}),
        ],
        &["ostree"],
        read::commit,
    );
    let mut packed = commit;
    packed["tar"] = json!({"filename": "image-ostree.tar"});
    add(
        "asm-commit",
        of_tree("org.osbuild.ostree.commit.assembler", packed),
        &["ostree", "tar"],
        read::packed_commit,
    );

    let table =
        |start: &str| json!({"uuid": GUID, "partitions": [{start: 2048, "size": 4096}, {"size": 8192}]});
    let mut sfdisk = table("start");
    sfdisk["label"] = "gpt".into();
    add(
        "sfdisk",
        on_device("org.osbuild.sfdisk", sfdisk),
        &["sgdisk"],
        read::table,
    );
    let guids = json!({"uuid": GUID, "partitions": [
        {"start": 2048, "size": 4096, "uuid": UUID, "type": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"},
    ]});
    add(
        "sgdisk",
        on_device("org.osbuild.sgdisk", guids),
        &["sgdisk"],
        read::table,
    );
    let fat = json!({"volid": "7B7795E7", "label": "ESP"});
    add(
        "fat",
        on_device("org.osbuild.mkfs.fat", fat),
        &["fsck.fat"],
        read::fat,
    );
    add(
        "ext4",
        on_device("org.osbuild.mkfs.ext4", json!({"uuid": UUID})),
        &["e2fsck", "debugfs"],
        read::empty_ext4,
    );
    add(
        "swap",
        on_device("org.osbuild.mkswap", json!({"uuid": UUID, "label": "swap"})),
        &["blkid"],
        read::swap,
    );
    all
}
