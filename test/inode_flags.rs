//! Inode flags: kept as data while an image is built, set in ext4 and in trees that are handed out, and in nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::oracle::tool;
use tests::ordinary::USER_TOOLS;
use tests::{Ordinary, TestEnv, need, run};

const LIMIT: Duration = Duration::from_secs(600);
const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";
const EPOCH: i64 = 1_700_000_000;
/// Of lsattr: its files and directories have blocks in extents, and these have the flag.
const IMMUTABLE: &str = "Flags: 0x80010";

fn chattr(paths: &[&str]) -> Value {
    let items: serde_json::Map<String, Value> = paths
        .iter()
        .map(|path| ((*path).to_owned(), json!({"immutable": true})))
        .collect();
    json!({"type": "org.osbuild.chattr", "options": {"items": items}})
}

/// A tree, and what is made of it: with flags, or without.
fn manifest(flags: &[&str]) -> Value {
    let mut tree = vec![
        json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}, {"path": "/frozen"}]}}),
        json!({"type": "org.osbuild.hostname", "options": {"hostname": "flags"}}),
    ];
    if !flags.is_empty() {
        tree.push(chattr(flags));
        // who builds is not locked out
        tree.push(json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/frozen/late"}]}}));
    } else {
        tree.push(json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/frozen/late"}]}}));
    }
    let input = || {
        json!({"tree": {
            "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"],
        }})
    };
    let made = |name: &str, kind: &str, options: Value| {
        let stage = json!({"type": kind, "inputs": input(), "options": options});
        json!({"name": name, "source-epoch": EPOCH, "stages": [stage]})
    };
    let device = json!({"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}});
    let mounted = |mut stage: Value| {
        stage["devices"] = json!({"disk": device});
        stage["mounts"] =
            json!([{"name": "root", "type": "org.osbuild.ext4", "source": "disk", "target": "/"}]);
        stage
    };
    let copy = json!({"type": "org.osbuild.copy", "inputs": input(), "options": {
        "paths": [{"from": "input://tree/", "to": "mount://root/"}],
    }});
    json!({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": EPOCH, "stages": tree},
        made("rawfs", "org.osbuild.rawfs", json!({"filename": "fs", "root_fs_uuid": UUID, "size": 32 << 20})),
        made("tar", "org.osbuild.tar", json!({"filename": "tree.tar", "format": "posix", "xattrs": true})),
        made("squashfs", "org.osbuild.squashfs", json!({"filename": "fs"})),
        made("erofs", "org.osbuild.erofs", json!({"filename": "fs"})),
        {"name": "image", "source-epoch": EPOCH, "stages": [
            {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "32M"}},
            {"type": "org.osbuild.mkfs.ext4", "options": {"uuid": UUID}, "devices": {"device": device}},
            mounted(copy),
            mounted(chattr(&["mount://root/", "mount://root/etc"])),
        ]},
    ]})
}

const FLAGS: [&str; 2] = ["tree:///etc/hostname", "tree:///frozen"];

fn stat(image: &Path, path: &str) -> String {
    tool(
        Command::new("debugfs")
            .args(["-R", &format!("stat {path}")])
            .arg(image),
    )
    .unwrap()
}

#[track_caller]
fn is_flagged(image: &Path, path: &str, flagged: bool) {
    let stat = stat(image, path);
    assert_eq!(stat.contains(IMMUTABLE), flagged, "{path}: {stat}");
    let attributes = tool(
        Command::new("debugfs")
            .args(["-R", &format!("ea_list {path}")])
            .arg(image),
    );
    assert!(!attributes.unwrap().contains("flags"));
}

fn unfit(what: &str) -> bool {
    !need::root(what) || !need::tools(&["mke2fs", "e2fsck", "debugfs", "mksquashfs", "mkfs.erofs"], what)
}

#[test]
fn ext4_has_them_and_no_other_image_shows_how_they_are_kept() {
    if unfit("inode flags in images") {
        return;
    }
    let names = ["rawfs", "tar", "squashfs", "erofs", "image"];
    let exports: Vec<&str> = names.iter().flat_map(|name| ["--export", name]).collect();
    let (with, without) = (TestEnv::new(), TestEnv::new());
    with.build(&manifest(&FLAGS), &exports).expect(0);
    without.build(&manifest(&[]), &exports).expect(0);
    for (image, flagged, others) in [
        (
            "rawfs/fs",
            &["/etc/hostname", "/frozen"][..],
            &["/", "/etc", "/frozen/late"][..],
        ),
        (
            "image/disk.img",
            &["/", "/etc", "/etc/hostname", "/frozen"],
            &["/lost+found", "/frozen/late"],
        ),
    ] {
        let image = with.out().join(image);
        tool(Command::new("e2fsck").arg("-fn").arg(&image)).unwrap();
        flagged.iter().for_each(|path| is_flagged(&image, path, true));
        others.iter().for_each(|path| is_flagged(&image, path, false));
    }
    let read = |env: &TestEnv, file: &str| fs::read(env.out().join(file)).unwrap();
    for file in ["tar/tree.tar", "squashfs/fs"] {
        assert!(
            read(&with, file) == read(&without, file),
            "{file} has something of the flags"
        );
    }
    // its identity is that of the stage, which is another one
    let erofs = read(&with, "erofs/fs");
    assert!(!erofs.windows(13).any(|bytes| bytes == b"osbuild.flags"));
}

#[test]
fn a_tree_that_is_handed_out_has_them_where_the_file_system_does() {
    if unfit("inode flags in exports") {
        return;
    }
    let env = TestEnv::new();
    let manifest = manifest(&FLAGS);
    // once more over what is there, which nobody else could replace
    for _ in 0..2 {
        env.build(&manifest, &["--export", "tree"]).expect(0);
    }
    let tree = env.out().join("tree");
    let paths = ["etc/hostname", "frozen", "etc", "frozen/late"].map(|path| tree.join(path));
    let flags: Vec<bool> = paths
        .iter()
        .map(|path| {
            let said = tool(Command::new("lsattr").arg("-d").arg(path)).unwrap_or_default();
            said.split(' ')
                .next()
                .is_some_and(|letters| letters.contains('i'))
        })
        .collect();
    let attributes: Vec<String> = paths
        .iter()
        .map(|path| tool(Command::new("getfattr").args(["-d", "-m", "-"]).arg(path)).unwrap_or_default())
        .collect();
    // else nobody can remove it
    let cleared = tool(Command::new("chattr").arg("-i").args(&paths[..2]));
    assert!(
        attributes.iter().all(|text| !text.contains("osbuild")),
        "{attributes:?}"
    );
    match cleared {
        Ok(_) => assert_eq!(flags, [true, true, false, false]),
        Err(error) => println!("skipped: the file system of the tests has no flags: {error:#}"),
    }
}

#[test]
fn an_ordinary_user_makes_the_same_file_system() {
    let what = "inode flags as an ordinary user";
    if unfit(what) || !need::tools(USER_TOOLS, what) {
        return;
    }
    let env = TestEnv::new();
    let manifest = manifest(&FLAGS);
    env.build(&manifest, &["--export", "rawfs"]).expect(0);
    let ada = Ordinary::with_sub_ids(&env);
    let file = ada.write("manifest.json", manifest.to_string());
    let mut command = ada.command("osbuild");
    command.args(["--store", "store", "--output", "out", "--export", "rawfs"]);
    run(command.arg(file), b"", LIMIT).expect(0);
    let ours = fs::read(env.out().join("rawfs/fs")).unwrap();
    assert!(ours == fs::read(ada.path("out/rawfs/fs")).unwrap());
}
