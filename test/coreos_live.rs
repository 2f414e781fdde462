//! The live medium of a CoreOS system is made of its disk images, and what starts it by PXE.
//!
//! The system is a small one: a shell script in its tree stands for `coreos-installer`, and leaves what it was called with
//! and what it saw.

mod system;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::oracle::tool;
use tests::{TestEnv, need};

const STAGE: &str = "org.osbuild.coreos.live-artifacts.mono";
/// Of x86: this is where the test has boot loaders.
const TOOLS: [&str; 7] = [
    "xorriso",
    "xorrisofs",
    "mksquashfs",
    "unsquashfs",
    "cpio",
    "mtype",
    "mount",
];
#[test]
fn a_medium_and_its_parts_are_made_and_say_what_the_installer_needs() {
    if !need::root("loop devices") || !need::tools(&TOOLS, "a live medium") {
        return;
    }
    let modules = Path::new("/usr/lib/syslinux/modules/bios/vesamenu.c32");
    if !cfg!(target_arch = "x86_64") || !modules.exists() {
        println!("skipped: a live medium: SYSLINUX is not installed");
        return;
    }
    let env = TestEnv::new();
    let manifest = system::manifest(&env);
    env.build(&manifest, &["--export", "live"]).expect(0);
    let out = env.out().join("live");
    let mut names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["initramfs.img", "kernel", "live.iso", "rootfs.img"]);
    let read = |path: &str| fs::read(out.join(path)).unwrap();
    assert_eq!(read("kernel"), b"the kernel");
    assert!(read("initramfs.img").starts_with(b"ram disk\x1f\x8b"));

    // the archive, and the file system in it
    fs::create_dir(env.path("rootfs")).unwrap();
    let unpack = format!(
        "cpio -i -D {} < {}",
        env.path("rootfs").display(),
        out.join("rootfs.img").display()
    );
    tool(Command::new("sh").args(["-c", &unpack])).unwrap();
    assert_eq!(
        fs::read_to_string(env.path("rootfs/etc/coreos-live-rootfs")).unwrap(),
        "1.2\n"
    );
    for (name, at) in [("metal.raw", 8), ("metal4k.raw", 0)] {
        let said = fs::read(env.path(format!("rootfs/{name}.osmet"))).unwrap();
        let (words, marks) = said.split_at(said.len() - 16);
        let words = String::from_utf8_lossy(words).into_owned();
        assert!(
            words.contains("--description Demo 1 --checksum "),
            "{name}: {words}"
        );
        assert_eq!(&marks[at..at + 8], b"EFI PART", "{name}");
    }
    let list = |offset: &str, image: &Path| {
        tool(Command::new("unsquashfs").args(["-o", offset, "-ll"]).arg(image)).unwrap()
    };
    let inside = list("124", &out.join("rootfs.img"));
    for path in [
        "/boot/vmlinuz-6.1",
        "/boot/.vmlinuz-6.1.hmac",
        "/boot/efi",
        "/.aleph-version.json",
    ] {
        assert!(
            inside.contains(&format!("squashfs-root{path}\n")),
            "{path}: {inside}"
        );
    }
    let config = Command::new("unsquashfs")
        .args(["-o", "124", "-cat"])
        .arg(out.join("rootfs.img"))
        .arg("ostree/repo/config")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&config.stdout),
        "[core]\nmode=bare\n[sysroot]\n"
    );

    // the medium
    let iso = out.join("live.iso");
    let extract = ["-osirrox", "on", "-indev"];
    let (from, to) = ("/".to_owned(), env.path("iso"));
    tool(
        Command::new("xorriso")
            .args(extract)
            .arg(&iso)
            .args(["-extract", &from])
            .arg(&to),
    )
    .unwrap();
    let text = |path: &str| fs::read_to_string(to.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let areas: Value = serde_json::from_str(&text("coreos/kargs.json")).unwrap();
    assert_eq!(areas["default"], "quiet coreos.liveiso=democos-1.2");
    for area in areas["files"].as_array().unwrap() {
        let content = text(area["path"].as_str().unwrap());
        let offset = area["offset"].as_u64().unwrap() as usize;
        assert!(
            content[offset..].starts_with("quiet coreos.liveiso="),
            "{content}"
        );
    }
    assert_eq!(areas["files"][0]["path"], "EFI/acme/grub.cfg");
    assert_eq!(areas["files"][1]["path"], "isolinux/isolinux.cfg");
    let ignition: Value = serde_json::from_str(&text("coreos/igninfo.json")).unwrap();
    assert_eq!(ignition, json!({"file": "images/ignition.img"}));
    assert!(text("coreos/features.json").contains("\"dest-device\": true"));
    assert_eq!(to.join("coreos/miniso.dat").metadata().unwrap().len(), 16 << 10);
    assert!(fs::read(to.join("images/pxeboot/rootfs.img")).unwrap() == read("rootfs.img"));
    assert!(!to.join("zipl.prm").exists() && !to.join("README-devel.md").exists());
    let boots = tool(
        Command::new("xorriso")
            .arg("-indev")
            .arg(&iso)
            .args(["-report_el_torito", "plain"]),
    )
    .unwrap();
    assert!(
        boots.contains("/isolinux/isolinux.bin") && boots.contains("/images/efiboot.img"),
        "{boots}"
    );
    let stub = tool(
        Command::new("mtype")
            .arg("-i")
            .arg(to.join("images/efiboot.img"))
            .arg("::/EFI/BOOT/grub.cfg"),
    );
    assert!(stub.unwrap().contains("search --label \"democos-1.2\""));
    assert_eq!(env.left_behind(), Vec::<String>::new());

    // in another store, later
    let file = env.write("manifest.json", manifest.to_string());
    let again = ["--store", "another", "--output", "again", "--export", "live"];
    env.osbuild(again.into_iter().chain(file.to_str())).expect(0);
    for name in ["initramfs.img", "kernel", "live.iso", "rootfs.img"] {
        assert!(
            fs::read(env.path("again/live").join(name)).unwrap() == read(name),
            "{name} differs"
        );
    }
}

#[test]
fn who_is_not_the_machines_root_is_told_so() {
    let env = TestEnv::new();
    let about = env.osbuild(["modules", STAGE]).expect(0);
    assert!(
        about.stdout.contains("mount loop devices, as the machine's root"),
        "{about}"
    );
}
