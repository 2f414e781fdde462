use serde_json::{Value, json};

use super::*;

fn build_root() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for path in [
        "usr/lib/grub/i386-pc/a.mod",
        "usr/lib/grub/i386-pc/fdt.lst",
        "usr/lib/grub/i386-pc/boot.img",
        "usr/share/grub/unicode.pf2",
        "boot/efi/EFI/BOOT/BOOTX64.EFI",
        "boot/efi/EFI/acme/shim.efi",
    ] {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        tree.write(path, path).unwrap();
    }
    (dir, tree)
}

/// The peer's recorded files, apart from its stray `$` before the kernel's version in `saved_entry`, by which GRUB found no
/// entry.
#[test]
fn the_files_are_the_recorded_ones() {
    let file = "../../shared/conformance/goldens/org.osbuild.grub2.legacy/bios-uefi.json";
    let Ok(text) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) else {
        println!("skipped: there is no {file}");
        return;
    };
    let golden: Value = serde_json::from_slice(&text).unwrap();
    let options: Options = serde_json::from_value(golden["options"].clone()).unwrap();
    let (_dir, build_root) = build_root();
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("boot/efi/EFI/redhat").unwrap();
    configure(&tree, &options, &build_root).unwrap();
    for path in ["/boot/efi/EFI/redhat/grub.cfg", "/boot/grub2/grub.cfg"] {
        assert_eq!(tree.read_text(path).unwrap(), golden["after"][path]["content"]);
    }
    let recorded = golden["after"]["/boot/grub2/grubenv"]["content"]
        .as_str()
        .unwrap();
    let repaired = recorded.replace("gnulinux-$", "gnulinux-") + "#";
    assert_eq!(tree.read_text("boot/grub2/grubenv").unwrap(), repaired);
    assert_eq!(tree.list("boot/grub2/i386-pc").unwrap(), ["a.mod"]);
    assert!(!tree.exists("etc"));
}

#[test]
fn uefi_alone_is_enough_and_terminals_are_set() {
    let options: Options = serde_json::from_value(json!({
        "rootfs": {"uuid": "u"}, "bootfs": {"label": "boot"}, "uefi": {"vendor": "acme", "install": true},
        "entries": [{"id": "i", "product": {"name": "P", "version": "1"}, "kernel": "5"}],
        "config": {"terminal_output": ["serial", "console"], "serial": "serial --unit=0", "timeout": 3, "cmdline": "ro"},
    }))
    .unwrap();
    let (_dir, build_root) = build_root();
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    configure(&tree, &options, &build_root).unwrap();
    let text = tree.read_text("boot/efi/EFI/acme/grub.cfg").unwrap();
    for part in [
        "\nserial --unit=0${terminal_input}\nterminal_output serial console\n",
        "--set=root --label boot\n",
        "\tlinux /vmlinuz-5 root=UUID=u ro\n\tinitrd /initramfs-5.img\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        tree.read_text("etc/default/grub").unwrap(),
        "GRUB_TIMEOUT=3\nGRUB_CMDLINE_LINUX=\"ro\"\nGRUB_DISABLE_SUBMENU=true\nGRUB_DISABLE_RECOVERY=true\n\
         GRUB_TIMEOUT_STYLE=countdown\nGRUB_DEFAULT=saved\nGRUB_SERIAL_COMMAND=\"serial --unit=0\"\n\
         GRUB_TERMINAL_OUTPUT=\"serial console\"\n"
    );
    assert!(tree.exists("boot/efi/EFI/BOOT/BOOTX64.EFI") && !tree.exists("boot/grub2/grub.cfg"));
}
