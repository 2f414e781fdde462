use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tree::Tree;

use super::*;

fn assemble(tree: &Path, out: &Path, options: Value) -> Result<()> {
    run(Args::from_json(json!({
        "tree": tree, "output_dir": out, "options": options,
        "meta": {"id": "0123", "source-epoch": 1_709_210_096},
    }))
    .unwrap())
}

/// What the `ostree` tool prints; `None` where it is not installed.
fn ostree(args: &str, repo: &Path) -> Option<String> {
    let output = Command::new("ostree")
        .args(args.split(' '))
        .arg(format!("--repo={}", repo.display()))
        .output();
    let Ok(output) = output else {
        println!("skipped: there is no ostree");
        return None;
    };
    assert!(
        output.status.success(),
        "ostree {args}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

fn sample() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for (path, content) in [
        ("etc/hostname", "h"),
        ("usr/bin/tool", "t"),
        ("usr/lib/modules/6.1.0-31-amd64/modules.dep", ""),
        ("boot/vmlinuz-6.1.0-31-amd64", "kernel"),
        ("boot/initrd.img-6.1.0-31-amd64", "initrd"),
        ("var/lib/dpkg/status", "packages"),
        ("var/lib/app/state file", "state"),
        ("var/cache/big", "cache"),
        ("home/ada/.ssh/authorized_keys", "key"),
        ("root/.bashrc", "rc"),
        ("tmp/junk", "junk"),
        ("dev/junk", "junk"),
    ] {
        tree.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
        tree.write(path, content).unwrap();
    }
    tree.symlink("usr/bin", "bin").unwrap();
    tree.symlink("/run/lock", "var/lock").unwrap();
    dir
}

#[test]
fn the_commit_has_the_layout_of_a_deployment() {
    let tree = sample();
    let out = tempfile::tempdir().unwrap();
    let options = json!({"ref": "debian/12/server", "os_version": "12.1"});
    assemble(tree.path(), out.path(), options).unwrap();
    let repo = out.path().join("repo");
    let compose: Value = serde_json::from_slice(&fs::read(out.path().join("compose.json")).unwrap()).unwrap();
    assert_eq!(compose["ref"], "debian/12/server");
    assert_eq!(compose["ostree-timestamp"], "2024-02-29T12:34:56Z");
    assert!(tree.path().join("etc/hostname").exists(), "the tree was changed");
    let Some(rev) = ostree("rev-parse debian/12/server", &repo) else {
        return;
    };
    assert_eq!(compose["ostree-commit"], rev.trim());
    ostree("fsck", &repo);
    let show = ostree("show debian/12/server", &repo).unwrap();
    assert!(
        show.contains(compose["ostree-content-checksum"].as_str().unwrap()),
        "{show}"
    );
    assert!(show.contains("2024-02-29 12:34:56"), "{show}");
    let bootable = ostree(
        "show --print-metadata-key=ostree.bootable debian/12/server",
        &repo,
    );
    assert_eq!(bootable.unwrap().trim(), "true");

    let listing = ostree("ls -R debian/12/server", &repo).unwrap();
    let has = |path: &str| listing.lines().any(|line| line.ends_with(path));
    for path in [
        " /usr/etc/hostname",
        " /home -> var/home",
        " /root -> var/roothome",
        " /bin -> usr/bin",
        " /usr/lib/modules/6.1.0-31-amd64/vmlinuz",
        " /usr/lib/modules/6.1.0-31-amd64/initramfs.img",
        " /usr/lib/sysimage/dpkg/status",
        " /usr/share/factory/var/home/ada/.ssh/authorized_keys",
        " /sysroot",
        " /tmp",
    ] {
        assert!(has(path), "{path}\n{listing}");
    }
    for path in [" /etc", "junk", " /var/lib", "big"] {
        assert!(!has(path), "{path}\n{listing}");
    }
    let lines = ostree("cat debian/12/server /usr/lib/tmpfiles.d/ostree-var.conf", &repo).unwrap();
    for line in [
        "d /var/home/ada 0755 0 0 -",
        "C /var/home/ada/.ssh/authorized_keys - - - -",
        "C \"/var/lib/app/state file\" - - - -",
        "L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg",
        "L /var/lock - - - - /run/lock",
        "d /var/cache 0755 0 0 -",
    ] {
        assert!(lines.lines().any(|l| l == line), "{line}\n{lines}");
    }
}

#[test]
fn the_lines_make_var_at_boot() {
    let tree = sample();
    let out = tempfile::tempdir().unwrap();
    assemble(tree.path(), out.path(), json!({"ref": "os"})).unwrap();
    let root = out.path().join("root");
    let checkout = format!("checkout -U os {}", root.display());
    if ostree(&checkout, &out.path().join("repo")).is_none() {
        return;
    }
    let run = Command::new("systemd-tmpfiles")
        .arg("--create")
        .arg(format!("--root={}", root.display()))
        .arg(root.join("usr/lib/tmpfiles.d/ostree-var.conf"))
        .status();
    match run {
        Ok(status) => assert!(status.success()),
        Err(_) => return println!("skipped: there is no systemd-tmpfiles"),
    }
    for (path, content) in [
        ("var/home/ada/.ssh/authorized_keys", "key"),
        ("var/roothome/.bashrc", "rc"),
        ("var/lib/app/state file", "state"),
        ("var/lib/dpkg/status", "packages"),
    ] {
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), content, "{path}");
    }
}

#[test]
fn tar_holds_the_repository_and_nothing_else_is_left() {
    let tree = sample();
    let mut archives = Vec::new();
    for _ in 0..2 {
        let out = tempfile::tempdir().unwrap();
        let options = json!({"ref": "os", "tmp-is-dir": false, "tar": {"filename": "commit.tar.gz"}});
        assemble(tree.path(), out.path(), options).unwrap();
        let names: Vec<_> = fs::read_dir(out.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["commit.tar.gz"]);
        let archive = out.path().join("commit.tar.gz");
        let status = Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .current_dir(out.path())
            .status();
        assert!(status.unwrap().success());
        assert!(out.path().join("compose.json").exists());
        ostree("fsck", &out.path().join("repo"));
        archives.push(fs::read(archive).unwrap());
    }
    assert!(archives[0] == archives[1]);
}

#[test]
fn a_parent_that_is_no_checksum_is_refused() {
    let tree = sample();
    let out = tempfile::tempdir().unwrap();
    let error = assemble(tree.path(), out.path(), json!({"ref": "os", "parent": "abc"})).unwrap_err();
    assert!(error.to_string().contains("`parent`"), "{error}");
}
