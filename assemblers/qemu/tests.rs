use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::disk_image::test::{missing_tool, run_on, sample};

const UUID: &str = "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75";
const PTUUID: &str = "D209C89E-EA5E-4FBD-B161-B461CCE297E0";

fn told(tool: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(tool).args(args).arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool}: {text}");
    text
}

fn lacks(tools: &[&str]) -> bool {
    !rustix::process::geteuid().is_root() || tools.iter().any(|tool| missing_tool(tool))
}

fn gpt(format: &str) -> Value {
    json!({
        "format": format, "filename": "disk", "size": 64 << 20, "ptuuid": PTUUID, "pttype": "gpt",
        "partitions": [
            {"start": 2048, "size": 20_480, "type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
             "filesystem": {"type": "vfat", "uuid": "7B77-95E7", "mountpoint": "/boot/efi", "label": "ESP"}},
            {"size": 20_480, "name": "data",
             "filesystem": {"type": "ext4", "uuid": UUID, "mountpoint": "/var/data"}},
            {"filesystem": {"type": "ext4", "uuid": UUID, "mountpoint": "/", "label": "root"}},
        ],
    })
}

#[test]
fn every_format_holds_the_disk_that_sfdisk_and_fsck_accept() {
    if lacks(&["mke2fs", "sfdisk", "qemu-img", "e2fsck", "debugfs", "mdir", "xz"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let raw = run_on(&MODULE, &tree, gpt("raw")).unwrap();
    let path = raw.path().join("disk");
    let dump = told("sfdisk", &["-d"], &path);
    let lines: Vec<&str> = dump.lines().filter(|line| line.contains("start=")).collect();
    for (line, place) in lines.iter().zip([
        "start=        2048, size=       20480, type=C12A7328",
        "start=       22528, size=       20480, type=0FC63DAF",
        "start=       43008, size=       86016, type=0FC63DAF",
    ]) {
        assert!(line.contains(place), "{dump}");
    }
    assert!(dump.contains(&format!("label-id: {PTUUID}")), "{dump}");
    let disk = std::fs::read(&path).unwrap();
    let part = |start: usize, sectors: usize| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &disk[start * 512..(start + sectors) * 512]).unwrap();
        file
    };
    let root = part(43_008, 86_016);
    told("e2fsck", &["-fn"], root.path());
    assert!(told("blkid", &["-p"], root.path()).contains(&format!("LABEL=\"root\" UUID=\"{UUID}\"")));
    // the tree has no such directory
    assert!(told("debugfs", &["-R", "stat /var/data"], root.path()).contains("Mode:  0755"));
    let esp = part(2048, 20_480);
    assert!(
        told(
            "mdir",
            &["-b", "-i", esp.path().to_str().unwrap()],
            "::/EFI/BOOT".as_ref()
        )
        .contains("grub.cfg")
    );
    assert!(told("blkid", &["-p"], esp.path()).contains("VERSION=\"FAT16\""));
    for (format, called) in [
        ("qcow2", "qcow2"),
        ("vdi", "vdi"),
        ("vmdk", "vmdk"),
        ("vpc", "vpc"),
        ("vhdx", "vhdx"),
    ] {
        let made = run_on(&MODULE, &tree, gpt(format)).unwrap();
        let back = made.path().join("raw");
        let converted = Command::new("qemu-img")
            .args(["convert", "-f", called, "-O", "raw"])
            .args([made.path().join("disk"), back.clone()])
            .status();
        assert!(
            converted.unwrap().success() && std::fs::read(back).unwrap() == disk,
            "{format}"
        );
    }
    let packed = run_on(&MODULE, &tree, gpt("raw.xz")).unwrap();
    let file = std::fs::File::open(packed.path().join("disk")).unwrap();
    assert!(Command::new("xz").arg("-dc").stdin(file).output().unwrap().stdout == disk);
}

#[test]
fn grub_goes_behind_a_dos_table_and_into_a_bios_boot_partition() {
    let grub =
        ["/usr/lib/grub/i386-pc/boot.img", "/usr/bin/grub-mkimage"].map(|path| Path::new(path).is_file());
    if lacks(&["mke2fs"]) || grub != [true; 2] {
        return println!("skipped: GRUB for a BIOS is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let make =
        |options: Value| std::fs::read(run_on(&MODULE, &tree, options).unwrap().path().join("disk")).unwrap();
    let dos = make(json!({
        "format": "raw", "filename": "disk", "size": 64 << 20, "ptuuid": "0x12345678", "root_fs_uuid": UUID,
    }));
    assert_eq!(dos[440..444], 0x1234_5678u32.to_le_bytes());
    assert_eq!((dos[446], dos[450]), (0x80, 0x83));
    assert_eq!(dos[0x5c..0x64], 1u64.to_le_bytes());
    assert_eq!(dos[512 + 500..512 + 508], 2u64.to_le_bytes());
    let mut options = gpt("raw");
    options["bootloader"] = json!({"type": "grub2", "platform": "i386-pc"});
    options["partitions"][1] = json!({"size": 2048, "type": "21686148-6449-6E6F-744E-656564454649"});
    let gpt = make(options);
    assert_eq!(gpt[0x5c..0x64], 22_528u64.to_le_bytes());
    let core = &gpt[22_528 * 512..(22_528 + 2048) * 512];
    assert_eq!(core[500..508], 22_529u64.to_le_bytes());
    // but for where it lies the core is the same: the directory differs
    assert!(core[512..20_000] != dos[1024..512 + 20_000]);
}

#[test]
fn the_directory_of_grub_is_on_its_partition() {
    assert_eq!(prefix("msdos", 0, "/"), "(,msdos1)/boot/grub2");
    assert_eq!(prefix("gpt", 2, "/boot"), "(,gpt3)/grub2");
}

#[test]
fn wrong_options_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let changed = |name: &str, value: Value| {
        let mut options = gpt("raw");
        options[name] = value;
        options
    };
    for (options, message) in [
        (
            changed("size", json!(1000)),
            "the size 1000 is not a multiple of 512",
        ),
        (changed("size", json!(-512)), "`size` is -512"),
        (
            changed("ptuuid", json!("0x12")),
            "ptuuid: a GPT is identified by a UUID",
        ),
        (
            changed("bootloader", json!({"type": "zipl"})),
            "has no /usr/sbin/zipl",
        ),
        (
            changed("bootloader", json!({"type": "grub2", "platform": "x"})),
            "not installed by blocks on `x`",
        ),
        (
            changed("qcow2_compat", json!("2")),
            "neither \"0.10\" nor \"1.1\"",
        ),
        (changed("filename", json!("a/b")), "not a plain file name"),
        (
            changed("partitions", json!([{"start": 500_000, "size": 1}])),
            "lies outside the disk",
        ),
    ] {
        let error = format!("{:#}", run_on(&MODULE, &tree, options).unwrap_err());
        assert!(error.contains(message), "{error}");
    }
}
