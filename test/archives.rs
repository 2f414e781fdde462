//! What goes into a tree comes out of an archive, a commit or a file system: owners, modes, times, attributes,
//! capabilities, hard links, holes.

mod things;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::listing::{Item, Listing, allocated, list, without};
use tests::oracle::{self, tool};
use tests::{SmallDisk, TestEnv, need};

use self::things::{build, check, env, manifest, stages};

const UUID: &str = "2f6e8c1a-4b7d-5e90-a1c2-3d4e5f607182";

#[test]
fn tar_restores_everything() {
    let what = "tar archives, compared with GNU tar";
    if !need::root(what) || !need::tools(&["tar", "setfattr", "setcap", "xz", "zstd", "bzip2"], what) {
        return;
    }
    let env = env();
    let stage = "org.osbuild.tar.assembler";
    let results: Vec<(&str, &str, Value)> = [None, Some("gzip"), Some("bzip2"), Some("xz"), Some("zstd")]
        .into_iter()
        .map(|compression| {
            let name = compression.unwrap_or("plain");
            let mut options = json!({"filename": "tree.tar"});
            if let Some(compression) = compression {
                options["compression"] = compression.into();
            }
            (name, stage, options)
        })
        .collect();
    let tree = build(&env, &manifest(true, &results));
    assert_eq!(tree[Path::new("usr/things/fifo")].kind, "fifo");
    for (name, ..) in results {
        let archive = env.out().join(name).join("tree.tar");
        let restored = env.path("restored").join(name);
        std::fs::create_dir_all(&restored).unwrap();
        // tar knows by the first bytes how it is compressed
        tool(
            Command::new("tar")
                .args(["--xattrs", "--xattrs-include=*", "-xpf"])
                .arg(&archive)
                .arg("-C")
                .arg(&restored),
        )
        .unwrap();
        assert_eq!(list(&restored), tree, "{name}");
        check(&restored, &tree);
        if name == "plain" {
            let size = std::fs::metadata(&archive).unwrap().len();
            assert!(size < 1 << 20, "the holes are in the archive: {size} bytes");
        }
    }
}

#[test]
fn ostree_accepts_the_commit() {
    let what = "OSTree commits, checked by ostree";
    if !need::root(what) || !need::tools(&["ostree", "setfattr", "setcap"], what) {
        return;
    }
    let env = env();
    let commit =
        |os_version: &str| json!({"ref": "sample/1/x86_64", "os_version": os_version, "tmp-is-dir": true});
    let stage = "org.osbuild.ostree.commit.assembler";
    let manifest = manifest(
        false,
        &[
            ("commit", stage, commit("1.2")),
            ("archive", stage, {
                let mut options = commit("1.2");
                options["tar"] = json!({"filename": "commit.tar.gz"});
                options
            }),
        ],
    );
    let tree = build(&env, &manifest);
    let repo = env.out().join("commit/repo");
    let said = oracle::ostree_fsck(&repo).unwrap();
    assert!(!said.contains("corrupt") && !said.contains("missing"), "{said}");
    let ostree = |args: &[&str]| {
        let mut option = std::ffi::OsString::from("--repo=");
        option.push(&repo);
        tool(Command::new("ostree").args(args).arg(option)).unwrap()
    };
    assert_eq!(ostree(&["refs"]), "sample/1/x86_64\n");
    let log = ostree(&["log", "sample/1/x86_64"]);
    assert!(
        log.contains("Version: 1.2") && log.contains("2025-01-01 00:00:00 +0000"),
        "{log}"
    );
    let ls = ostree(&["ls", "-R", "-X", "sample/1/x86_64"]);
    let line = |end: &str| {
        let found = ls.lines().find(|line| line.ends_with(end));
        found.unwrap_or_else(|| panic!("no {end} in\n{ls}")).to_owned()
    };
    let setuid = line(" /usr/things/setuid");
    assert!(setuid.starts_with("-04755 1234 5678"), "{setuid}");
    assert!(line(" /usr/things/capable").contains("security.capability"));
    assert!(line(" /usr/things/marked").contains("user.colour"));
    line(" /usr/things/to-first -> ../things/first");
    // /etc is committed as /usr/etc, /var is empty
    line(" /usr/etc");
    assert!(!ls.contains("/var/lib"), "{ls}");

    // the files themselves come out as they went in; ostree keeps neither times nor hard links
    let out = env.path("checkout");
    ostree(&["checkout", "sample/1/x86_64", &out.display().to_string()]);
    let forget = |item: &mut Item| {
        item.mtime = 0;
        item.first = PathBuf::new();
    };
    let things = |dir: &Path| without(&list(&dir.join("usr/things")), forget);
    assert_eq!(things(&out), things(&env.out().join("tree")));
    assert_eq!(
        things(&out).len(),
        tree.keys().filter(|path| path.starts_with("usr/things")).count()
    );

    // the archive has the same
    let restored = env.path("restored");
    std::fs::create_dir(&restored).unwrap();
    let archive = env.out().join("archive/commit.tar.gz");
    tool(
        Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(&restored),
    )
    .unwrap();
    oracle::ostree_fsck(&restored.join("repo")).unwrap();
    let compose = |dir: PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(dir.join("compose.json")).unwrap()).unwrap()
    };
    let compose = (compose(env.out().join("commit")), compose(restored));
    assert!(compose.1["ostree-content-checksum"].is_string());
    assert_eq!(
        compose.0["ostree-content-checksum"],
        compose.1["ostree-content-checksum"]
    );
    assert_eq!(
        ostree(&["rev-parse", "sample/1/x86_64"]).trim(),
        compose.0["ostree-commit"]
    );
}

/// The ext4 file system at `offset` of a raw image is healthy, has its UUID, and holds the tree: read by the kernel and by
/// debugfs.
fn check_ext4(env: &TestEnv, raw: &Path, offset: u64, tree: &Listing) {
    oracle::e2fsck(raw, offset).unwrap();
    assert_eq!(
        oracle::ext4_file(raw, offset, "/usr/things/hello").unwrap(),
        "hello\n"
    );
    assert_eq!(
        oracle::ext4_file(raw, offset, "/usr/things/below/third").unwrap(),
        "one file, three names"
    );
    let probe = Command::new("blkid")
        .args(["-p", "-s", "UUID", "-o", "value", "-O", &offset.to_string()])
        .arg(raw)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&probe.stdout).trim(), UUID);
    let dir = env.path("mounted");
    let mounted = SmallDisk::of_image(&dir, raw, offset).unwrap();
    let mut listing = list(&dir);
    listing.retain(|path, _| path != Path::new("lost+found"));
    assert_eq!(&listing, tree);
    assert!(allocated(&dir.join("usr/things/holes")) < 1 << 20);
    drop(mounted);
}

#[test]
fn a_file_system_holds_the_tree() {
    let what = "file systems, read by the kernel";
    if !need::root(what) || !need::tools(&["mke2fs", "debugfs", "setfattr", "setcap"], what) {
        return;
    }
    let env = env();
    let options = json!({"filename": "root.img", "root_fs_uuid": UUID, "size": 64 << 20});
    let manifest = manifest(true, &[("image", "org.osbuild.rawfs", options)]);
    let tree = build(&env, &manifest);
    let image = env.out().join("image/root.img");
    assert_eq!(std::fs::metadata(&image).unwrap().len(), 64 << 20);
    assert!(allocated(&image) < 16 << 20);
    check_ext4(&env, &image, 0, &tree);
}

#[test]
fn a_disk_holds_the_tree_also_in_the_older_formats() {
    let what = "disk images, read by QEMU and the kernel";
    if !need::root(what) || !need::tools(&["mke2fs", "qemu-img", "sfdisk", "setfattr", "setcap"], what) {
        return;
    }
    let env = env();
    let tree = build(&env, &manifest(true, &[]));
    let older = |stage: &Value| {
        let mut stage = stage.as_object().unwrap().clone();
        let name = stage.remove("type").unwrap();
        stage.insert("name".into(), name);
        Value::from(stage)
    };
    // format 1 has neither inputs nor a source epoch: another stage makes what is copied
    let mut list = stages(true).as_array().unwrap().clone();
    env.stage(
        "org.example.hello",
        "printf 'hello\\n' > /run/osbuild/tree/usr/things/hello",
    );
    list[1] = json!({"type": "org.example.hello"});
    let list: Vec<Value> = list.iter().map(older).collect();
    let assembler = |name: &str, filename: &str| {
        json!({"name": name, "options": {
            "filename": filename, "root_fs_uuid": UUID, "size": 160 << 20, "ptuuid": "11111111-2222-4333-8444-555555555555",
        }})
    };
    let timeless = |listing: &Listing| without(listing, |item| item.mtime = 0);
    for (manifest, filename, format) in [
        (
            json!({"name": "oldest", "stages": list, "assembler": assembler("io.weldr.qcow2", "a.qcow2")}),
            "a.qcow2",
            "qcow2",
        ),
        (
            json!({"pipeline": {"stages": list, "assembler": assembler("org.osbuild.qcow2", "b.qcow2")}}),
            "b.qcow2",
            "qcow2",
        ),
        (
            json!({"sources": {}, "pipeline": {"stages": list, "assembler": assembler("org.osbuild.raw", "c.img")}}),
            "c.img",
            "raw",
        ),
    ] {
        let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(0);
        assert_eq!(run.json()["assembler"]["success"], true, "{run}");
        let image = env.out().join(filename);
        let info = oracle::qemu_img_info(&image).unwrap();
        assert_eq!(
            (&info["format"], &info["virtual-size"]),
            (&json!(format), &json!(160 << 20))
        );
        let raw = env.path("disk.raw");
        if format == "qcow2" {
            oracle::qemu_img_check(&image).unwrap();
        }
        oracle::to_raw(&image, &raw).unwrap();
        let partitions = oracle::partitions(&raw).unwrap();
        let root = partitions.last().unwrap();
        assert_eq!(
            (root.name.as_str(), partitions.len()),
            ("root", 1),
            "{partitions:?}"
        );
        let id = tool(Command::new("sfdisk").arg("--disk-id").arg(&raw)).unwrap();
        assert_eq!(id.trim(), "11111111-2222-4333-8444-555555555555");
        oracle::e2fsck(&raw, root.start).unwrap();
        let dir = env.path("mounted");
        let mounted = SmallDisk::of_image(&dir, &raw, root.start).unwrap();
        let mut listing = tests::listing::list(&dir);
        drop(mounted);
        listing.retain(|path, _| path != Path::new("lost+found"));
        assert_eq!(timeless(&listing), timeless(&tree), "{filename}");
    }
}

#[test]
fn device_nodes_of_an_archive_are_made() {
    use std::os::unix::fs::MetadataExt;
    let what = "device nodes, which only root makes";
    if !need::root(what) || !need::tools(&["mknod", "tar", "base64"], what) {
        return;
    }
    let env = TestEnv::new();
    let nodes = env.path("from/nodes");
    std::fs::create_dir_all(&nodes).unwrap();
    let made = Command::new("mknod")
        .args(["-m", "640"])
        .arg(nodes.join("disk"))
        .args(["b", "7", "99"])
        .status();
    if made.is_ok_and(|status| !status.success()) {
        return eprintln!("skipped, as mknod is refused here: {what}");
    }
    tool(Command::new("touch").args(["-d", "@1000000000"]).arg(&nodes)).unwrap();
    let tar = env.path("nodes.tar");
    tool(
        Command::new("tar")
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(env.path("from"))
            .arg("nodes"),
    )
    .unwrap();
    let data = tool(Command::new("base64").arg("--wrap=0").arg(&tar)).unwrap();
    let checksum = tests::manifests::sha256(std::fs::read(&tar).unwrap());
    let mut manifest = tests::manifests::tree_of(json!([{
        "type": "org.osbuild.untar",
        "inputs": {"file": {
            "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [checksum],
        }},
    }]));
    manifest["sources"] =
        json!({"org.osbuild.inline": {"items": {checksum: {"encoding": "base64", "data": data}}}});
    env.build(&manifest, &[]).expect(0);
    let disk = std::fs::symlink_metadata(env.out().join("nodes/disk")).unwrap();
    assert_eq!((disk.rdev(), disk.mode()), (rustix::fs::makedev(7, 99), 0o060640));
    let dir = std::fs::metadata(env.out().join("nodes")).unwrap();
    assert_eq!(dir.mtime(), 1_000_000_000);
}
