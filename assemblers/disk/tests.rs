use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::disk_image::test::{missing_tool, run_on, sample};

const MIB: usize = 1 << 20;

/// What a tool says of a file; it must be content with it.
fn told(tool: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(tool).args(args).arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {text}{log}");
    text
}

fn lacks(tools: &[&str]) -> bool {
    !rustix::process::geteuid().is_root() || tools.iter().any(|tool| missing_tool(tool))
}

/// Number, first byte and size of each partition, as sfdisk reads them.
fn partitions(disk: &Path) -> Vec<(usize, usize)> {
    let table: Value = serde_json::from_str(&told("sfdisk", &["-J"], disk)).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as usize * 512;
    let list = table["partitiontable"]["partitions"].as_array().unwrap().iter();
    list.map(|part| (number(&part["start"]), number(&part["size"])))
        .collect()
}

/// The content of a partition as a file of its own.
fn part(disk: &Path, index: usize) -> tempfile::NamedTempFile {
    let (start, size) = partitions(disk)[index];
    let bytes = std::fs::read(disk).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes[start..start + size]).unwrap();
    file
}

fn debugfs(image: &Path, request: &str) -> String {
    told("debugfs", &["-R", request], image)
}

#[test]
fn every_kind_of_file_system_holds_its_part_of_the_tree() {
    if lacks(&[
        "sgdisk",
        "sfdisk",
        "mke2fs",
        "e2fsck",
        "debugfs",
        "mtype",
        "mkfs.erofs",
        "unsquashfs",
    ]) {
        return;
    }
    let options = json!({
        "filename": "disk.img",
        "partitions": [
            {"name": "bios", "type": "bios"},
            {"name": "esp", "type": "esp", "size": "64 MiB", "filesystem": {
                "type": "fat", "mountpoint": "/boot/efi", "label": "ESP", "uuid": "7B77-95E7",
            }},
            {"name": "boot", "type": "xbootldr", "size": "40 MiB",
             "filesystem": {"type": "ext4", "mountpoint": "/boot", "label": "boot"}},
            {"name": "swap", "type": "swap", "size": "8 MiB", "filesystem": {"type": "swap", "label": "sw"}},
            {"name": "etc", "filesystem": {"type": "squashfs", "mountpoint": "/etc", "compression": "zstd"}},
            {"name": "ro", "filesystem": {"type": "erofs", "mountpoint": "/usr", "compression": "lz4hc"}},
            {"name": "root", "size": "64 MiB", "attrs": [60], "filesystem": {
                "type": "ext4", "mountpoint": "/", "uuid": "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
            }},
            {"name": "data", "size": "16 MiB", "filesystem": {"type": "ext4", "mountpoint": "/srv"}},
        ],
    });
    let made = [(), ()].map(|()| {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        tree.mkdir_all("usr/share").unwrap();
        tree.write("usr/share/text", "some text ".repeat(10_000)).unwrap();
        run_on(&MODULE, &tree, options.clone()).unwrap()
    });
    let [disk, again] = made.each_ref().map(|dir| dir.path().join("disk.img"));
    assert!(std::fs::read(&disk).unwrap() == std::fs::read(again).unwrap());
    assert!(told("sgdisk", &["-v"], &disk).contains("No problems found"));
    let dump = told("sfdisk", &["-d"], &disk);
    assert!(dump.contains("name=\"root\", attrs=\"GUID:60\""), "{dump}");
    assert_eq!(partitions(&disk)[..2], [(MIB, MIB), (2 * MIB, 64 * MIB)]);
    let bytes = std::fs::read(&disk).unwrap();
    assert_eq!(bytes[0x5c..0x64], 2048u64.to_le_bytes());

    let esp = part(&disk, 1);
    assert_eq!(
        told(
            "mtype",
            &["-i", esp.path().to_str().unwrap()],
            "::/EFI/BOOT/grub.cfg".as_ref()
        ),
        "configfile"
    );
    assert!(told("blkid", &["-p", "-o", "export"], esp.path()).contains("UUID=7B77-95E7"));
    for (index, there, not_there) in [
        (2, "/grub/i386-pc/core.img", "/efi/EFI"),
        (6, "/srv", "/boot/grub"),
        (7, "/lost+found", "/etc"),
    ] {
        let system = part(&disk, index);
        told("e2fsck", &["-fn"], system.path());
        assert!(
            debugfs(system.path(), &format!("stat {there}")).contains("Inode:"),
            "{index}"
        );
        assert!(
            !debugfs(system.path(), &format!("stat {not_there}")).contains("Inode:"),
            "{index}"
        );
    }
    let root = part(&disk, 6);
    for empty in ["/boot", "/etc", "/usr"] {
        // itself and its parent
        assert_eq!(
            debugfs(root.path(), &format!("ls -p {empty}"))
                .lines()
                .filter(|line| line.len() > 1)
                .count(),
            2
        );
    }
    assert!(told("blkid", &["-p", "-o", "export"], part(&disk, 3).path()).contains("TYPE=swap"));
    assert!(
        told(
            "unsquashfs",
            &["-cat", part(&disk, 4).path().to_str().unwrap()],
            "1".as_ref()
        )
        .starts_with("1\n1\n")
    );
    told("fsck.erofs", &[], part(&disk, 5).path());
}

#[test]
fn every_format_holds_the_same_disk() {
    if lacks(&["mke2fs", "qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let make = |format: &str, compression: &str| {
        let options = json!({
            "filename": "disk", "format": format, "compression": compression, "size": "40 MiB",
            "partitions": [{"filesystem": {"type": "ext4", "mountpoint": "/"}}],
        });
        run_on(&MODULE, &tree, options)
    };
    let plain = make("raw", "none").unwrap();
    let plain = std::fs::read(plain.path().join("disk")).unwrap();
    assert_eq!(plain.len(), 40 * MIB);
    for (format, compression, called) in [
        ("qcow2", "zlib", "qcow2"),
        ("qcow2", "zstd", "qcow2"),
        ("qcow2", "none", "qcow2"),
        ("vmdk", "none", "vmdk"),
        ("vmdk", "zlib", "vmdk"),
        ("vhd", "none", "vpc"),
        ("vhdx", "none", "vhdx"),
        ("vdi", "none", "vdi"),
    ] {
        let made = make(format, compression).unwrap();
        let raw = made.path().join("raw");
        let converted = Command::new("qemu-img")
            .args(["convert", "-f", called, "-O", "raw"])
            .args([made.path().join("disk"), raw.clone()])
            .status()
            .unwrap();
        assert!(
            converted.success() && std::fs::read(raw).unwrap() == plain,
            "{format}"
        );
    }
    for (format, compression, tool) in [
        ("raw", "xz", "xz"),
        ("raw", "gzip", "gzip"),
        ("raw", "zstd", "zstd"),
    ] {
        let made = make(format, compression).unwrap();
        let file = std::fs::File::open(made.path().join("disk")).unwrap();
        let output = Command::new(tool).arg("-dc").stdin(file).output().unwrap();
        assert!(output.stdout == plain, "{compression}");
    }
    let error = format!("{:#}", make("vdi", "zstd").unwrap_err());
    assert_eq!(error, "compression: the format vdi knows no zstd");
}

#[test]
fn a_dos_table_has_the_boot_loader_behind_it() {
    if lacks(&["mke2fs", "sfdisk"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let options = json!({
        "filename": "disk", "label": "dos", "uuid": "0x14fc63d2", "boot_blocks": "/boot/grub/i386-pc",
        "partitions": [
            {"bootable": true, "type": "83", "size": "32 MiB", "filesystem": {"type": "ext4", "mountpoint": "/"}},
            {"type": "swap", "size": "4 MiB", "filesystem": {"type": "swap"}},
        ],
    });
    let made = run_on(&MODULE, &tree, options).unwrap();
    let disk = made.path().join("disk");
    let dump = told("sfdisk", &["-d"], &disk);
    for wanted in [
        "label-id: 0x14fc63d2",
        "start=        2048, size=       65536, type=83, bootable",
        "type=82",
    ] {
        assert!(dump.contains(wanted), "{dump}");
    }
    let bytes = std::fs::read(&disk).unwrap();
    assert_eq!(bytes.len(), 37 * MIB);
    assert_eq!(bytes[0x5c..0x64], 1u64.to_le_bytes());
    assert_eq!(bytes[512 + 500..512 + 508], 2u64.to_le_bytes());
    told("e2fsck", &["-fn"], part(&disk, 0).path());
}

#[test]
fn wrong_options_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.write("big", vec![1; 12 * MIB]).unwrap();
    let ext4 = |more: Value| {
        let mut system = json!({"type": "ext4", "mountpoint": "/"});
        system
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([{"name": "root", "size": "64 MiB", "filesystem": system}])
    };
    for (partitions, more, message) in [
        (json!([{}]), json!({}), "partition 1: it needs a `size`"),
        (
            json!([{"type": "bios"}]),
            json!({}),
            "the tree has no boot.img and core.img",
        ),
        (
            ext4(json!({"uuid": "x"})),
            json!({}),
            "partitions[0]: filesystem: uuid: `x` is not a UUID",
        ),
        (
            ext4(json!({"input": "other"})),
            json!({}),
            "there is no input `other`",
        ),
        (
            ext4(json!({"compression": "xz"})),
            json!({}),
            "only erofs and squashfs",
        ),
        (
            ext4(json!({"label": "longer than sixteen"})),
            json!({}),
            "partition 1 (root): ",
        ),
        (
            ext4(json!({})),
            json!({"size": "20 MiB"}),
            "lies outside the disk",
        ),
        (ext4(json!({})), json!({"size": 1000}), "not a multiple of 512"),
        (
            ext4(json!({})),
            json!({"uuid": "0x12345678"}),
            "a GPT is identified by a UUID",
        ),
        (
            json!([{"size": "12 MiB", "filesystem": {"type": "ext4", "mountpoint": "/"}}]),
            json!({}),
            "partition 1: the file system of 12 MiB is too small",
        ),
        (
            json!([{"size": "64 MiB", "filesystem": {"type": "ext4", "mountpoint": "/"}},
                   {"size": "64 MiB", "filesystem": {"type": "ext4", "mountpoint": "/"}}]),
            json!({}),
            "partition 2: / is in another partition already",
        ),
    ] {
        let mut options = json!({"filename": "disk", "partitions": partitions});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let error = format!("{:#}", run_on(&MODULE, &tree, options).unwrap_err());
        assert!(error.contains(message), "{error}");
    }
}
