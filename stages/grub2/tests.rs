use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tree::{Kind, Tree};

use super::*;

const UUID: &str = "86a22bf4-f153-4541-b6c7-0332c0dfaeac";

fn new_tree(files: &[(&str, &str)]) -> (TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for (path, content) in files {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        tree.write(path, content).unwrap();
    }
    (dir, tree)
}

fn options(value: Value) -> Options {
    serde_json::from_value(value).unwrap()
}

/// A build root with the little that `legacy` copies.
fn build_root() -> (TempDir, Tree) {
    new_tree(&[
        ("usr/lib/grub/i386-pc/normal.mod", "m"),
        ("usr/lib/grub/i386-pc/fs.lst", "l"),
        ("usr/lib/grub/i386-pc/fdt.lst", ""),
        ("usr/lib/grub/i386-pc/boot.img", "b"),
        ("usr/share/grub/unicode.pf2", "f"),
        ("usr/lib/efi/BOOT/BOOTX64.EFI", "shim"),
        ("usr/lib/efi/fedora/grubx64.efi", "grub"),
    ])
}

#[test]
fn the_recorded_trees_come_out() {
    let goldens =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/goldens/org.osbuild.grub2");
    let Ok(entries) = fs::read_dir(&goldens) else {
        println!("skipped: there is no {}", goldens.display());
        return;
    };
    let (_root, root) = build_root();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let golden: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            check_golden(&golden, &root);
        }
    }
}

fn check_golden(golden: &Value, root: &Tree) {
    let case = &golden["case"];
    let (_dir, tree) = new_tree(&[]);
    for (path, entry) in golden["before"].as_object().unwrap() {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        match entry["type"].as_str().unwrap() {
            "dir" => tree.mkdir_all(path).unwrap(),
            "symlink" => tree.symlink(entry["target"].as_str().unwrap(), path).unwrap(),
            _ => tree.write(path, entry["content"].as_str().unwrap_or("")).unwrap(),
        }
    }
    let result = configure(&tree, &options(golden["options"].clone()), root);
    assert_eq!(
        result.is_ok(),
        golden["success"].as_bool().unwrap(),
        "{case}: {result:?}"
    );
    let excluded: Vec<&str> = golden["excluded_fixture_paths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut found = serde_json::Map::new();
    snapshot(&tree, Path::new("/"), &excluded, &mut found);
    let after = golden["after"].as_object().unwrap();
    for (path, entry) in after {
        let mut entry = entry.clone();
        for key in ["size", "nlink"] {
            entry.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(found.get(path), Some(&entry), "{case}: {path}");
    }
    assert_eq!(found.len(), after.len(), "{case}");
}

fn snapshot(tree: &Tree, directory: &Path, excluded: &[&str], found: &mut serde_json::Map<String, Value>) {
    for name in tree.list(directory).unwrap() {
        let path = directory.join(name);
        let text = path.to_str().unwrap().to_owned();
        if excluded.contains(&text.as_str()) {
            continue;
        }
        let st = tree.stat(&path).unwrap().unwrap();
        let mode = format!("{:04o}", st.mode);
        let entry = match st.kind {
            Kind::Directory => json!({"type": "dir", "mode": mode, "uid": st.uid, "gid": st.gid}),
            Kind::Symlink => json!({"type": "symlink", "target": tree.read_link(&path).unwrap()}),
            _ => json!({
                "type": "file", "mode": mode, "uid": st.uid, "gid": st.gid,
                "content": tree.read_text(&path).unwrap(),
            }),
        };
        found.insert(text, entry);
        if st.kind == Kind::Directory {
            snapshot(tree, &path, excluded, found);
        }
    }
}

#[test]
fn legacy_copies_the_modules_and_the_font_of_the_build_root() {
    let (_root, root) = build_root();
    let (_dir, tree) = new_tree(&[]);
    configure(
        &tree,
        &options(json!({"root_fs_uuid": UUID, "legacy": true})),
        &root,
    )
    .unwrap();
    assert_eq!(tree.list("boot/grub2/i386-pc").unwrap(), ["fs.lst", "normal.mod"]);
    assert_eq!(tree.read_text("boot/grub2/fonts/unicode.pf2").unwrap(), "f");
}

#[test]
fn uefi_alone_has_its_configuration_on_the_esp() {
    let (_root, root) = build_root();
    let (_dir, tree) = new_tree(&[]);
    let uefi = json!({"vendor": "fedora", "install": true, "efi_src_dir": "/usr/lib/efi"});
    configure(
        &tree,
        &options(json!({"rootfs": {"label": "root"}, "uefi": uefi})),
        &root,
    )
    .unwrap();
    assert!(!tree.exists("boot/grub2/grub.cfg"));
    let cfg = tree.read_text("boot/efi/EFI/fedora/grub.cfg").unwrap();
    assert!(
        cfg.contains("search --no-floppy --set=root --label root\n"),
        "{cfg}"
    );
    assert_eq!(tree.read_text("boot/efi/EFI/BOOT/BOOTX64.EFI").unwrap(), "shim");
}

#[test]
fn too_many_kernel_words_for_grubenv_are_refused() {
    let (_root, root) = build_root();
    let (_dir, tree) = new_tree(&[]);
    let value = json!({"root_fs_uuid": UUID, "kernel_opts": "x".repeat(1000)});
    let error = configure(&tree, &options(value), &root).unwrap_err();
    assert!(error.to_string().contains("grubenv"), "{error}");
}

/// A tree with what a Debian tree is known by, and a `grub-mkimage` that cannot run: UEFI with ready images only.
fn debian_tree() -> (TempDir, Tree) {
    new_tree(&[
        ("var/lib/dpkg/status", ""),
        (
            "etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n",
        ),
        ("boot/vmlinuz-6.1.0-9-amd64", "k"),
        ("boot/initrd.img-6.1.0-9-amd64", "i"),
        ("boot/vmlinuz-6.1.0-31-amd64", "k"),
        ("boot/initrd.img-6.1.0-31-amd64", "i"),
        ("usr/lib/grub/x86_64-efi/moddep.lst", ""),
        ("usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "monolithic"),
    ])
}

#[test]
fn a_debian_menu_has_an_entry_for_each_kernel_newest_first() {
    let (_dir, tree) = debian_tree();
    let value = json!({"root_fs_uuid": UUID, "kernel_opts": "console=tty0 console=ttyS0,115200n8"});
    configure(&tree, &options(value), &tree.subtree("/").unwrap()).unwrap();
    let cfg = tree.read_text("boot/grub/grub.cfg").unwrap();
    let lines: Vec<&str> = cfg
        .lines()
        .map(str::trim)
        .filter(|l| l.starts_with("linux "))
        .collect();
    let line = |version: &str| {
        format!("linux /boot/vmlinuz-{version} root=UUID={UUID} ro console=tty0 console=ttyS0,115200n8")
    };
    assert_eq!(lines, [line("6.1.0-31-amd64"), line("6.1.0-9-amd64")]);
    assert!(cfg.contains("initrd /boot/initrd.img-6.1.0-31-amd64"), "{cfg}");
    script_check(&cfg);
    let defaults = tree.read_text("etc/default/grub").unwrap();
    assert!(
        defaults.contains("GRUB_CMDLINE_LINUX='console=tty0 console=ttyS0,115200n8'"),
        "{defaults}"
    );
    let stub = tree.read_text("boot/efi/EFI/debian/grub.cfg").unwrap();
    assert!(
        stub.starts_with(&format!("search.fs_uuid {UUID} root\n")),
        "{stub}"
    );
    assert_eq!(
        tree.read_text("boot/efi/EFI/BOOT/BOOTX64.EFI").unwrap(),
        "monolithic"
    );
}

#[test]
fn a_separate_boot_file_system_has_no_boot_in_its_paths() {
    let (_dir, tree) = debian_tree();
    let boot = "96a22bf4-f153-4541-b6c7-0332c0dfaeac";
    let value = json!({
        "root_fs_uuid": UUID, "boot_fs_uuid": boot, "kernel_opts": "a='b;c' rw $x",
        "config": {"timeout": 3, "terminal": ["console"], "default": "saved", "disable_recovery": false},
    });
    configure(&tree, &options(value), &tree.subtree("/").unwrap()).unwrap();
    let cfg = tree.read_text("boot/grub/grub.cfg").unwrap();
    assert!(cfg.contains(&format!("--fs-uuid {boot}\n")), "{cfg}");
    assert!(
        cfg.contains(&format!(
            "linux /vmlinuz-6.1.0-9-amd64 root=UUID={UUID} a=\\'b\\;c\\' rw \\$x\n"
        )),
        "{cfg}"
    );
    script_check(&cfg);
    let stub = tree.read_text("boot/efi/EFI/debian/grub.cfg").unwrap();
    assert!(stub.contains("set prefix=($root)'/grub'"), "{stub}");
}

#[test]
fn what_a_debian_tree_lacks_is_named() {
    let (_dir, tree) = debian_tree();
    let error = |value: Value| {
        configure(&tree, &options(value), &tree.subtree("/").unwrap())
            .unwrap_err()
            .to_string()
    };
    assert!(error(json!({"root_fs_uuid": UUID, "legacy": true})).contains("grub-pc-bin"));
    tree.remove_all("boot").unwrap();
    assert!(error(json!({"root_fs_uuid": UUID})).contains("/boot/vmlinuz-*"));
    tree.remove_all("usr/lib/grub").unwrap();
    assert!(error(json!({"root_fs_uuid": UUID})).contains("grub-efi-amd64-bin"));
}

/// Has GRUB's own parser read the script, where it is installed.
fn script_check(cfg: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, cfg.as_bytes()).unwrap();
    match Command::new("grub-script-check").arg(file.path()).status() {
        Ok(status) => assert!(status.success(), "{cfg}"),
        Err(_) => println!("skipped: there is no grub-script-check"),
    }
}
