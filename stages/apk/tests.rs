//! Packages are written here as <https://wiki.alpinelinux.org/wiki/Apk_spec> says.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

struct Spec<'s> {
    info: &'s str,
    scripts: &'s [(&'s str, &'s str)],
    /// Path, mode, content (none: a directory) and the name of its owner.
    files: Vec<(String, u32, Option<Vec<u8>>, &'s str)>,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive, with the end mark or without.
fn archive(entries: &[(String, u32, Option<Vec<u8>>, &str)], ends: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, content, owner) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_400_000_000);
        header.set_username(owner).unwrap();
        header.set_size(content.as_ref().map_or(0, |content| content.len() as u64));
        header.set_entry_type(match content {
            Some(_) => tar::EntryType::Regular,
            None => tar::EntryType::Directory,
        });
        builder
            .append_data(&mut header, path, content.as_deref().unwrap_or_default())
            .unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    if !ends {
        bytes.truncate(bytes.len() - 1024);
    }
    gzip(&bytes)
}

fn write(path: &Path, spec: &Spec<'_>) {
    let data = archive(&spec.files, true);
    let info = format!(
        "# made by a test\n{}datahash = {}\n",
        spec.info,
        hex::encode(Sha256::digest(&data))
    );
    let mut control = vec![(".PKGINFO".to_owned(), 0o644, Some(info.into_bytes()), "root")];
    for (name, text) in spec.scripts {
        control.push(((*name).to_owned(), 0o755, Some(text.as_bytes().to_vec()), "root"));
    }
    let signature = [(
        ".SIGN.RSA.ada.rsa.pub".to_owned(),
        0o644,
        Some(b"no signature".to_vec()),
        "root",
    )];
    let streams = [archive(&signature, false), archive(&control, false), data];
    std::fs::write(path, streams.concat()).unwrap();
}

/// A shell with all that it needs.
fn shell() -> Vec<(String, u32, Option<Vec<u8>>, &'static str)> {
    let libraries = Command::new("ldd").arg("/bin/sh").output().unwrap();
    let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    let mut all = Vec::new();
    for directory in ["bin/", "lib/", "lib64/", "lib/x86_64-linux-gnu/", "tmp/", "proc/"] {
        let mode = match directory {
            "tmp/" => 0o1777,
            "proc/" => 0o555,
            _ => 0o755,
        };
        all.push((directory.to_owned(), mode, None, "root"));
    }
    for path in paths.chain(["/bin/sh"]) {
        let content = std::fs::read(path).unwrap();
        all.push((
            path.trim_start_matches('/').to_owned(),
            0o755,
            Some(content),
            "root",
        ));
    }
    all
}

fn packages(dir: &Path) {
    let file = |path: &str, mode, content: &str, owner| {
        (path.to_owned(), mode, Some(content.as_bytes().to_vec()), owner)
    };
    write(
        &dir.join("sha256:1"),
        &Spec {
            info: "pkgname = zbase\npkgver = 1.0-r0\narch = x86_64\nsize = 9\nprovides = /bin/sh cmd:sh=1\n\
                   triggers = /usr/share/ada* /nowhere\n",
            scripts: &[(".trigger", "#!/bin/sh\necho \"$@\" >> /triggered\n")],
            files: shell(),
        },
    );
    write(
        &dir.join("sha256:2"),
        &Spec {
            info: "pkgname = ada\npkgver = 2.1-r3\narch = noarch\npkgdesc = A test\nlicense = MIT\nsize = 20\n\
                   builddate = 1500000000\ndepend = /bin/sh\ndepend = !eve\n",
            scripts: &[
                (
                    ".pre-install",
                    "#!/bin/sh\nset -e\n[ ! -e /usr/share/ada/f ]\necho 'ada:x:77:78::/:/bin/sh' >> /etc/passwd\n",
                ),
                (
                    ".post-install",
                    "#!/bin/sh\nset -e\n[ -e /usr/share/ada/f ]\necho \"$1\" > /installed\n",
                ),
            ],
            files: vec![
                ("etc/".into(), 0o755, None, "root"),
                ("usr/share/ada/".into(), 0o750, None, "root"),
                file("usr/share/ada/f", 0o4755, "hello", "ada"),
                file("etc/ada.conf", 0o644, "new\n", "root"),
            ],
        },
    );
}

/// Mounts make a process of its own necessary: this test again, called by itself.
#[test]
fn packages_are_installed_in_their_order() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root");
    }
    if let Some(document) = std::env::var_os("APK_TEST_DOCUMENT") {
        let document: Value = serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap();
        return (MODULE.run)(document).unwrap();
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["packages", "tree", "tree/etc"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    packages(&at("packages"));
    std::fs::write(at("tree/etc/ada.conf"), "old\n").unwrap();
    std::fs::write(at("tree/etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let input = json!({"path": at("packages"), "data": {"files": {"sha256:2": {}, "sha256:1": {}}}});
    let document = json!({"tree": at("tree"), "options": {}, "inputs": {"packages": input}});
    std::fs::write(at("document"), document.to_string()).unwrap();
    let run = || {
        let test = [
            "--exact",
            "apk::tests::packages_are_installed_in_their_order",
            "--test-threads=1",
            "--nocapture",
        ];
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again
            .args(test)
            .env("APK_TEST_DOCUMENT", at("document"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run();
    let tree = Tree::open(at("tree")).unwrap();
    let read = |path: &str| tree.read_text(path).unwrap();
    assert_eq!(read("installed"), "2.1-r3\n");
    assert_eq!(read("triggered"), "/usr/share/ada\n");
    assert_eq!(read("etc/ada.conf"), "old\n");
    assert_eq!(read("etc/apk/world"), "ada\n");
    assert_eq!(read("etc/apk/arch"), "x86_64\n");
    let file = tree.stat("usr/share/ada/f").unwrap().unwrap();
    assert_eq!((file.mode, file.uid, file.gid), (0o4755, 77, 0));
    assert_eq!(tree.stat("tmp").unwrap().unwrap().mode, 0o1777);
    assert_eq!(tree.stat("proc").unwrap().unwrap().mode, 0o555);
    assert!(!tree.exists("lib/apk/exec"));
    let installed = read("lib/apk/db/installed");
    let ada = installed
        .split("\n\n")
        .find(|paragraph| paragraph.contains("P:ada\n"))
        .unwrap();
    let lines: Vec<&str> = ada
        .lines()
        .filter(|line| !line.starts_with("C:") && !line.starts_with("S:"))
        .collect();
    assert_eq!(
        lines,
        [
            "P:ada",
            "V:2.1-r3",
            "A:noarch",
            "I:20",
            "T:A test",
            "L:MIT",
            "t:1500000000",
            "D:/bin/sh !eve",
            "F:etc",
            "R:ada.conf",
            "Z:Q1",
            "F:usr/share/ada",
            "M:0:0:750",
            "R:f",
            "a:77:0:4755",
            "Z:Q1qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        ]
        .map(|line| if line == "Z:Q1" { lines[10] } else { line })
    );
    assert!(said.contains("kept /etc/ada.conf"), "{said}");
    let names = Command::new("tar")
        .arg("-tf")
        .arg(at("tree/lib/apk/db/scripts.tar"))
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    assert_eq!(names.lines().count(), 3, "{names}");
    assert!(names.contains("ada-2.1-r3.Q1"), "{names}");
    // once more: all of it is there already
    run();
    assert_eq!(read("lib/apk/db/installed"), installed);
    assert_eq!(read("triggered"), "/usr/share/ada\n");
}

#[test]
fn what_is_no_package_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    packages(dir.path());
    let good = std::fs::read(dir.path().join("sha256:2")).unwrap();
    let mut changed = good.clone();
    changed.truncate(good.len() - 30);
    for (bytes, why) in [
        (&b"ADB."[..], "damaged"),
        (&gzip(b"")[..], "no .PKGINFO"),
        (&changed[..], "not those that it was made with"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = format!("{:#}", Package::open(&path).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(Package::open(&dir.path().join("sha256:2")).unwrap().name(), "ada");
}
