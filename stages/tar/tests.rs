use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::*;

fn sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("etc").unwrap();
    tree.write("etc/a", "x").unwrap();
    tree.set_mtime("etc/a", 2_000_000_000, 0).unwrap();
    tree.hard_link("etc/a", "hard").unwrap();
    tree.symlink("etc/a", "link").unwrap();
    let deep = "directory/".repeat(11);
    tree.mkdir_all(&deep).unwrap();
    tree.write(format!("{deep}{}", "n".repeat(60)), "deep").unwrap();
    let sparse = tree.create_file("sparse").unwrap();
    sparse.set_len(40 << 20).unwrap();
    for at in 1..30 {
        sparse.write_all_at(b"data", at << 20).unwrap();
    }
    dir
}

fn pack(from: &Path, to: &Path, options: Value) -> Result<()> {
    let document = json!({
        "tree": to, "options": options, "inputs": {"tree": {"path": from}},
        "meta": {"source-epoch": 1_000_000_000},
    });
    run(Args::from_json(document).unwrap())
}

fn tar(arguments: &[&str], dir: &Path) -> String {
    let output = Command::new("tar")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Oracle: GNU tar compares the archive with the files.
#[test]
fn every_format_holds_the_tree() {
    let from = sample();
    for (format, sparse) in [
        ("gnu", false),
        ("gnu", true),
        ("oldgnu", true),
        ("posix", false),
        ("posix", true),
        ("ustar", false),
    ] {
        let out = tempfile::tempdir_in("/var/tmp").unwrap();
        let options = json!({
            "filename": "x.tar", "format": format, "sparse": sparse,
            "acls": false, "selinux": false, "xattrs": false,
        });
        pack(from.path(), out.path(), options.clone()).unwrap();
        let archive = out.path().join("x.tar");
        let size = fs::metadata(&archive).unwrap().len();
        assert_eq!(size < 1 << 20, sparse, "{format}: {size} bytes");
        let restored = tempfile::tempdir_in("/var/tmp").unwrap();
        tar(&["-xf", archive.to_str().unwrap()], restored.path());
        let differs = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([from.path(), restored.path()])
            .status()
            .unwrap();
        assert!(differs.success(), "{format}");
        let again = tempfile::tempdir().unwrap();
        pack(from.path(), again.path(), options).unwrap();
        assert!(fs::read(archive).unwrap() == fs::read(again.path().join("x.tar")).unwrap());
    }
}

#[test]
fn version_7_says_what_it_cannot_hold() {
    let (from, out) = (sample(), tempfile::tempdir().unwrap());
    let options = |paths: &[&str]| {
        json!({
            "filename": "x", "format": "v7", "acls": false, "selinux": false, "xattrs": false, "paths": paths,
        })
    };
    pack(from.path(), out.path(), options(&["etc", "link", "hard"])).unwrap();
    let list = tar(&["-tf", "x"], out.path());
    assert_eq!(list, "etc/\netc/a\nlink\nhard\n");
    let error = pack(from.path(), out.path(), options(&["directory"])).unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot hold a name of this length"),
        "{error:#}"
    );
}

#[test]
fn times_are_no_later_than_the_epoch_and_compression_is_as_the_name_says() {
    let (from, out) = (sample(), tempfile::tempdir().unwrap());
    for (name, magic) in [
        ("x.tar.xz", &[0xfd, b'7'][..]),
        ("x.tgz", &[0x1f, 0x8b]),
        ("x.tar.zst", &[0x28, 0xb5]),
    ] {
        pack(
            from.path(),
            out.path(),
            json!({"filename": name, "root-node": "omit", "sparse": true}),
        )
        .unwrap();
        assert!(fs::read(out.path().join(name)).unwrap().starts_with(magic));
        let list = tar(&["-tvf", name, "--full-time", "--utc"], out.path());
        let line = list.lines().find(|line| line.ends_with(" etc/a")).unwrap();
        assert!(line.contains("2001-09-09 01:46:40"), "{line}");
        assert!(list.lines().any(|line| line.ends_with("link -> etc/a")), "{list}");
    }
}

#[test]
fn a_path_that_leads_out_is_refused() {
    let (from, out) = (sample(), tempfile::tempdir().unwrap());
    assert!(
        pack(
            from.path(),
            out.path(),
            json!({"filename": "x", "paths": ["../etc"]})
        )
        .is_err()
    );
    assert!(
        pack(
            from.path(),
            out.path(),
            json!({"filename": "x", "transform": "s/a"})
        )
        .is_err()
    );
}
