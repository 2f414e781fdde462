use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tree::Tree;

use super::*;

fn assemble(tree: &Path, out: &Path, options: Value) -> Result<()> {
    run(Args::from_json(json!({"tree": tree, "output_dir": out, "options": options})).unwrap())
}

fn shell(script: &str, dir: &Path) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn sample() -> TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("a").unwrap();
    tree.mkdir("sticky", 0o1777).unwrap();
    tree.write("a/setuid", "x").unwrap();
    tree.chmod("a/setuid", 0o4755).unwrap();
    tree.hard_link("a/setuid", "z-hard-link").unwrap();
    tree.symlink(format!("/{}", "long/".repeat(50)), "link").unwrap();
    tree.write("ä ö", "names").unwrap();
    let deep = "directory-with-a-name/".repeat(12);
    tree.mkdir_all(&deep).unwrap();
    tree.write(format!("{deep}/file"), "deep").unwrap();
    tree.set_mtime("a/setuid", 1_000_000, 0).unwrap();
    tree.set_mtime("sticky", -5, 0).unwrap();
    let sparse = tree.create_file("sparse").unwrap();
    sparse.set_len(50 << 20).unwrap();
    sparse.write_all_at(b"middle", 20 << 20).unwrap();
    sparse.write_all_at(b"early", 8192).unwrap();
    tree.write("plain", vec![3; 700_001]).unwrap();
    dir
}

/// All that an archive is to restore, as text.
fn picture(dir: &Path) -> String {
    shell(
        r#"find . -printf '%P %y %m %U %G %s %Ts %n %l\n' | sed 's/^\(\S* d [0-9]* [0-9]* [0-9]*\) [0-9]*/\1/' | sort
        find . -type f -print0 | sort -z | xargs -0 sha256sum
        if command -v getfattr >/dev/null; then getfattr -hRd -m - . | sort; fi"#,
        dir,
    )
}

#[test]
fn gnu_tar_restores_everything() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root");
        return;
    }
    let tree = sample();
    shell(
        r#"chown 1234:4000000000 plain; mknod null c 1 3; mkfifo pipe
        if command -v setfattr >/dev/null; then
            setfattr -n user.note -v 'a value' plain
            setfattr -n trusted.x -v y a
            setfattr -n system.posix_acl_default \
                -v 0x0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff a
        fi
        if command -v setcap >/dev/null; then setcap cap_net_raw=ep a/setuid; fi"#,
        tree.path(),
    );
    let out = tempfile::tempdir_in("/var/tmp").unwrap();
    assemble(tree.path(), out.path(), json!({"filename": "x.tar"})).unwrap();
    let restored = tempfile::tempdir_in("/var/tmp").unwrap();
    let archive = out.path().join("x.tar");
    assert!(
        fs::metadata(&archive).unwrap().len() < 2 << 20,
        "the holes are in the archive"
    );
    let command = format!("tar --xattrs --xattrs-include='*' -xpf {}", archive.display());
    shell(&command, restored.path());
    assert_eq!(picture(tree.path()), picture(restored.path()));
    let blocks = fs::metadata(restored.path().join("sparse")).unwrap().blocks();
    assert!(blocks < 100, "{blocks} blocks of a sparse file");
    let inode = |name: &str| fs::metadata(restored.path().join(name)).unwrap().ino();
    assert_eq!(inode("a/setuid"), inode("z-hard-link"));
}

#[test]
fn members_are_sorted_and_the_same_each_time() {
    let tree = sample();
    let out = tempfile::tempdir().unwrap();
    for name in ["1.tar", "2.tar"] {
        assemble(tree.path(), out.path(), json!({"filename": name})).unwrap();
    }
    let bytes = |name: &str| fs::read(out.path().join(name)).unwrap();
    assert!(bytes("1.tar") == bytes("2.tar"));
    let listing = shell("tar -tf 1.tar", out.path());
    assert!(
        listing.starts_with("./\n./a/\n./a/setuid\n./directory-with-a-name/\n"),
        "{listing}"
    );
    assert_eq!(bytes("1.tar").len() % 10240, 0);
}

#[test]
fn every_compression_is_read_back_by_its_tool() {
    let tree = sample();
    let out = tempfile::tempdir().unwrap();
    assemble(tree.path(), out.path(), json!({"filename": "plain"})).unwrap();
    for (name, filter) in [
        ("gzip", "gzip -dc"),
        ("bzip2", "bzip2 -dc"),
        ("xz", "xz -dc"),
        ("lzma", "xz -dc --format=lzma"),
        ("zstd", "zstd -dc"),
        ("lzip", "lzip -dc"),
        ("lzop", "lzop -dc"),
    ] {
        let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
        let result = assemble(
            tree.path(),
            out.path(),
            json!({"filename": name, "compression": name}),
        );
        if !there(filter.split(' ').next().unwrap()) {
            println!("skipped: there is no tool to read {name} back");
            if name == "lzip" || name == "lzop" {
                let error = format!("{:#}", result.unwrap_err());
                assert!(error.contains(&format!("no `{name}`")), "{error}");
            }
            continue;
        }
        result.unwrap();
        shell(&format!("{filter} < {name} | cmp - plain"), out.path());
    }
}

#[test]
fn an_unknown_compression_is_refused() {
    let tree = tempfile::tempdir().unwrap();
    let document = json!({"tree": tree.path(), "output_dir": tree.path(), "options": {"filename": "x", "compression": "rar"}});
    assert!(Args::<Options>::from_json(document).is_err());
}
