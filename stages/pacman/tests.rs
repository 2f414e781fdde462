use std::process::Command;

use super::*;
use serde_json::{Value, json};

const DESC: &str =
    "%NAME%\nada\n\n%VERSION%\n2:1.0-3\n\n%DESC%\n%NAME%\n\n%ARCH%\nany\n\n%INSTALLDATE%\n1700000000\n\n";

#[test]
fn the_database_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("var/lib/pacman/local/ada-2:1.0-3").unwrap();
    tree.write("var/lib/pacman/local/ALPM_DB_VERSION", "9\n").unwrap();
    tree.write("var/lib/pacman/local/ada-2:1.0-3/desc", DESC).unwrap();
    database::set_time(&tree, 1_600_000_000).unwrap();
    let packages = database::metadata(&tree).unwrap();
    let expected = json!([{"name": "ada", "version": "1.0", "release": "3", "epoch": "2", "arch": "any",
                          "sigmd5": "", "sigpgp": "", "siggpg": ""}]);
    assert_eq!(packages["packages"], expected);
    let desc = tree.read_text("var/lib/pacman/local/ada-2:1.0-3/desc").unwrap();
    assert_eq!(desc, DESC.replace("1700000000", "1600000000"));
}

/// A package as makepkg writes it.
fn package(path: &std::path::Path) {
    let info = "pkgname = ada\npkgbase = ada\npkgver = 2:1.0-3\npkgdesc = d\nurl = u\nbuilddate = 1500000000\n\
                packager = Ada\nsize = 5\narch = any\nlicense = MIT\n";
    let file = std::fs::File::create(path).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_500_000_000);
        header.set_size(content.len() as u64);
        archive
            .append_data(&mut header, name, content.as_bytes())
            .unwrap();
    };
    add(".PKGINFO", tar::EntryType::Regular, 0o644, info);
    add("usr/", tar::EntryType::Directory, 0o755, "");
    add("usr/share/", tar::EntryType::Directory, 0o755, "");
    add("usr/share/ada", tar::EntryType::Regular, 0o640, "hello");
    archive.into_inner().unwrap().finish().unwrap();
}

/// Mounts make a process of its own necessary: this test again, called by itself.
#[test]
fn pacman_installs_and_twice_the_same() {
    let has_pacman = Command::new("pacman").arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !has_pacman {
        return println!("skipped: needs root and pacman");
    }
    if let Some(document) = std::env::var_os("PACMAN_TEST_DOCUMENT") {
        let document: Value = serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap();
        return (MODULE.run)(document).unwrap();
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("packages")).unwrap();
    package(&at("packages/sha256:ab"));
    let input = json!({"path": at("packages"), "data": {"files": {"sha256:ab": {}}}});
    let mut descriptions = Vec::new();
    for name in ["one", "two"] {
        std::fs::create_dir(at(name)).unwrap();
        let document = json!({"tree": at(name), "options": {}, "inputs": {"packages": input},
                             "meta": {"source-epoch": 1_600_000_000}});
        std::fs::write(at("document"), document.to_string()).unwrap();
        let test = [
            "--exact",
            "pacman::tests::pacman_installs_and_twice_the_same",
            "--test-threads=1",
            "--nocapture",
        ];
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again
            .args(test)
            .env("PACMAN_TEST_DOCUMENT", at("document"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        );
        let tree = Tree::open(at(name)).unwrap();
        assert_eq!(tree.read_text("usr/share/ada").unwrap(), "hello");
        assert_eq!(tree.stat("usr/share/ada").unwrap().unwrap().mode, 0o640);
        assert_eq!(tree.read_text("etc/machine-id").unwrap(), "");
        assert!(!tree.exists("var/log/pacman.log"));
        descriptions.push(tree.read_text("var/lib/pacman/local/ada-2:1.0-3/desc").unwrap());
    }
    assert_eq!(descriptions[0], descriptions[1]);
    assert!(descriptions[0].contains("%INSTALLDATE%\n1600000000\n"));
}
