use serde_json::json;

use super::configuration::{Configuration, area_of};
use super::*;

/// A tree with all that a system says of itself.
fn deployed() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for (path, content) in [
        (
            "etc/os-release",
            "NAME=x\nID=\"demo\"\nVARIANT_ID=coreos\nPRETTY_NAME='Demo CoreOS 1'\nOSTREE_VERSION='1.2'\n",
        ),
        (
            "usr/share/coreos-assembler/image.json",
            "{\"live-rootfs-fstype\": \"erofs\", \"live-rootfs-fsoptions\": \"-zlz4  -C65536\"}",
        ),
        (
            "usr/share/coreos-installer/example-config.yaml",
            "# what it is told\ndest-device: path\n\nappend-karg: [a]\nlist:\n  - in: x\n- item: y\nhttp://z\n",
        ),
        ("usr/lib/modules/6.1/vmlinuz", "kernel"),
        ("usr/lib/modules/6.1/initramfs.img", "ram disk"),
    ] {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        tree.write(path, content).unwrap();
    }
    (dir, tree)
}

#[test]
fn a_system_is_what_its_files_say() {
    let (_dir, tree) = deployed();
    let system = System::read(&tree).unwrap();
    assert_eq!(
        (
            &*system.version,
            &*system.name,
            &*system.id,
            system.file_system.file()
        ),
        ("1.2", "Demo CoreOS 1", "demo-coreos", "root.erofs")
    );
    assert_eq!(system.words, ["-zlz4", "-C65536"]);
    assert_eq!(system.kernel, "usr/lib/modules/6.1/vmlinuz");
    let features: serde_json::Value = serde_json::from_str(&system.features).unwrap();
    let directives = json!({"append-karg": true, "dest-device": true, "list": true});
    assert_eq!(features["installer-config-directives"], directives);
    tree.mkdir("usr/lib/modules/6.2", 0o755).unwrap();
    tree.write("usr/lib/modules/6.2/vmlinuz", "").unwrap();
    let error = System::read(&tree).unwrap_err().to_string();
    assert_eq!(error, "there must be one /usr/lib/modules/*/vmlinuz, there are 2");
}

#[test]
fn parameters_and_their_room_are_found_in_the_configurations() {
    let (_dir, tree) = deployed();
    let live = Path::new("usr/share/coreos-assembler/live");
    tree.mkdir_all(live.join("EFI/vendor")).unwrap();
    tree.mkdir_all(live.join("isolinux")).unwrap();
    let grub = "linux /v @@KERNEL-ARGS@@ ####################################### COREOS_KARG_EMBED_AREA\n";
    tree.write(live.join("EFI/vendor/grub.cfg"), grub).unwrap();
    let isolinux = format!("ä{}", &grub[6..]);
    tree.write(live.join("isolinux/isolinux.cfg"), isolinux).unwrap();
    tree.write(live.join("README-devel.md"), "no").unwrap();
    tree.write(live.join("picture"), b"\xff@@KERNEL-ARGS@@").unwrap();
    let out = tempfile::tempdir().unwrap();
    let iso = Tree::open(out.path()).unwrap();
    let words = [
        "mitigations=auto",
        "console=tty0",
        "ostree=/x",
        "$ignition_firstboot",
    ]
    .map(str::to_owned);
    let mut configuration = Configuration::of("demo-1", &words);
    configuration.copy(&tree, &iso).unwrap();
    assert!(!iso.exists("README-devel.md"));
    let text = iso.read_text("EFI/vendor/grub.cfg").unwrap();
    let arguments = "mitigations=auto coreos.liveiso=demo-1";
    assert!(text.starts_with(&format!("linux /v {arguments} ####")), "{text}");
    configuration.moved("EFI/vendor/grub.cfg", "EFI/acme/grub.cfg");
    let areas = Configuration::of("demo-1", &words);
    assert_eq!(areas.json(&iso), None);
    iso.rename("EFI/vendor", "EFI/acme").unwrap();
    let areas = configuration.json(&iso).unwrap();
    assert_eq!(
        areas["files"],
        json!([
            {"path": "EFI/acme/grub.cfg", "offset": 9, "pad": "#", "end": "\n"},
            {"path": "isolinux/isolinux.cfg", "offset": 5, "pad": "#", "end": "\n"},
        ])
    );
    assert_eq!(areas["default"], arguments);
    // what is written there is the parameters, the row, and not the mark
    let size = areas["size"].as_u64().unwrap() as usize;
    assert_eq!(&text[9 + size..], "# COREOS_KARG_EMBED_AREA\n");
    assert_eq!(area_of("x # COREOS_KARG_EMBED_AREA\n"), None);
}

#[test]
fn the_ram_disk_is_extended_and_aligned() {
    let dir = tempfile::tempdir().unwrap();
    let work = Tree::open(dir.path()).unwrap();
    work.mkdir_all("iso/images/pxeboot").unwrap();
    work.mkdir_all("initrd/etc").unwrap();
    work.write(INITRD, "12345678").unwrap();
    work.write("initrd/etc/mark", "x").unwrap();
    extend(&work, 0).unwrap();
    let bytes = work.read(INITRD).unwrap();
    assert_eq!(bytes.len() % 4, 0);
    assert_eq!(&bytes[..10], b"12345678\x1f\x8b");
    let mut archive = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[8..]), &mut archive).unwrap();
    assert!(archive.windows(8).any(|name| name == b"etc/mark"));
    let file = File::open(dir.path().join(INITRD)).unwrap();
    let hash = system::stream_hash(&file).unwrap();
    assert!(hash.starts_with("stream-hash sha256 2097152\n") && hash.lines().count() == 2);
}
