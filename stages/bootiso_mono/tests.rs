use std::process::Command;

use serde_json::json;

use super::*;

fn lacks(tools: &[&str]) -> bool {
    let missing = |tool: &&&str| Command::new(tool).arg("-V").output().is_err();
    match tools.iter().find(missing) {
        Some(tool) => {
            println!("skipped: {tool} is not installed");
            true
        }
        None => !rustix::process::geteuid().is_root(),
    }
}

fn told(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{tool}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A build root with boot loaders and templates, and an installer.
fn sample(dir: &Path) -> (Tree, Tree) {
    let (build, rootfs) = (dir.join("build"), dir.join("rootfs"));
    for dir in [&build, &rootfs] {
        std::fs::create_dir(dir).unwrap();
    }
    let (build, rootfs) = (Tree::open(build).unwrap(), Tree::open(rootfs).unwrap());
    let templates = "usr/share/lorax/templates.d/99-generic/config_files/x86";
    let write = |tree: &Tree, path: &str, content: &str| {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        tree.write(path, content).unwrap();
    };
    for name in ["shimx64.efi", "mmx64.efi", "gcdx64.efi"] {
        write(&build, &format!("boot/efi/EFI/acme/{name}"), name);
    }
    write(&build, "usr/share/grub/unicode.pf2", "font");
    for name in [
        "isolinux.bin",
        "ldlinux.c32",
        "libcom32.c32",
        "libutil.c32",
        "vesamenu.c32",
    ] {
        write(&build, &format!("usr/share/syslinux/{name}"), name);
    }
    write(
        &build,
        &format!("{templates}/grub2-efi.cfg"),
        "@PRODUCT@ @VERSION@ @KERNELPATH@ @ROOT@ @INITRDPATH@ @ISOLABEL@\n",
    );
    for name in ["isolinux.cfg", "boot.msg", "grub.conf"] {
        write(
            &build,
            &format!("{templates}/{name}"),
            "install @PRODUCT@: @ROOT@\n",
        );
    }
    write(&rootfs, "boot/vmlinuz-6.1", "kernel");
    write(&rootfs, "boot/initramfs-6.1.img", "initrd");
    write(&rootfs, SPLASH, "picture");
    (build, rootfs)
}

/// Oracles: mtools, unsquashfs, e2fsck and debugfs.
#[test]
fn the_medium_has_loaders_kernel_and_an_installer_that_can_be_read() {
    if lacks(&["mke2fs", "mksquashfs", "unsquashfs", "mtype", "e2fsck", "debugfs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (build, rootfs) = sample(dir.path());
    let made = [(), ()].map(|()| {
        let out = tempfile::tempdir().unwrap();
        let args = Args::from_json(json!({
            "tree": out.path(), "inputs": {"rootfs": {"path": rootfs.path()}},
            "meta": {"id": "a".repeat(64), "source-epoch": 1_700_000_000},
            "options": {
                "product": {"name": "Acme", "version": "7"}, "kernel": "6.1", "isolabel": "ACME-7",
                "kernel_opts": "quiet", "efi": {"architectures": ["X64"], "vendor": "acme"},
                "isolinux": {"enabled": true},
                "rootfs": {"size": 32, "compression": {"method": "xz", "options": {"bcj": "x86"}}},
            },
        }));
        make(&args.unwrap(), &build).unwrap();
        out
    });
    let path = |name: &str| made[0].path().join(name).to_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let line = "Acme 7 /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=ACME-7 quiet /images/pxeboot/initrd.img ACME-7\n";
    assert_eq!(read("EFI/BOOT/grub.cfg"), line);
    assert_eq!(
        read("isolinux/isolinux.cfg"),
        "install Acme: inst.stage2=hd:LABEL=ACME-7 quiet\n"
    );
    assert_eq!(
        (read("isolinux/vmlinuz"), read("images/pxeboot/initrd.img")),
        ("kernel".into(), "initrd".into())
    );
    let efi = path("images/efiboot.img");
    assert_eq!(told("mtype", &["-i", &efi, "::/EFI/BOOT/grub.cfg"]), line);
    assert_eq!(
        told("mtype", &["-i", &efi, "::/EFI/BOOT/BOOTX64.EFI"]),
        "shimx64.efi"
    );
    let unpacked = made[0].path().join("unpacked").to_str().unwrap().to_owned();
    let list = told("unsquashfs", &["-s", &path("images/install.img")]);
    assert!(list.contains("Compression xz"), "{list}");
    told("unsquashfs", &["-d", &unpacked, &path("images/install.img")]);
    let image = format!("{unpacked}/LiveOS/rootfs.img");
    told("e2fsck", &["-fn", &image]);
    assert_eq!(
        told("debugfs", &["-R", "cat /boot/vmlinuz-6.1", &image]),
        "kernel"
    );
    for name in ["images/install.img", "images/efiboot.img"] {
        let [one, two] = made
            .each_ref()
            .map(|out| std::fs::read(out.path().join(name)).unwrap());
        assert!(one == two, "{name}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (build, rootfs) = sample(dir.path());
    let fails = |options: serde_json::Value| {
        let out = tempfile::tempdir().unwrap();
        let mut all = json!({"product": {"name": "A", "version": "7"}, "kernel": "6.1", "isolabel": "A"});
        all.as_object_mut()
            .unwrap()
            .extend(options.as_object().unwrap().clone());
        let document =
            json!({"tree": out.path(), "inputs": {"rootfs": {"path": rootfs.path()}}, "options": all});
        format!(
            "{:#}",
            make(&Args::from_json(document).unwrap(), &build).unwrap_err()
        )
    };
    assert!(fails(json!({"kernel": "5.0"})).contains("boot/vmlinuz-5.0"));
    let error = fails(json!({"efi": {"architectures": ["AA64"], "vendor": "acme"}}));
    assert!(error.contains("a boot loader's package is missing"), "{error}");
    let error = fails(json!({"templates": "none", "isolinux": {"enabled": true}}));
    assert!(error.contains("Lorax's templates are missing"), "{error}");
    assert!(fails(json!({"rootfs": {"size": 1}})).contains("too small"));
}
