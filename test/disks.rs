//! Disks as manifests on people's shelves make them: a table, file systems on stretches of a file, files copied into mounts.
//! With our stages alone there is no loop device and no mount, and the same manifest gives the same bytes; with foreign
//! ones in between the kernel's take over and give back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::oracle::{self, tool};
use tests::{TestEnv, need};

const MIB: u64 = 1 << 20;
/// Where the two partitions begin, and how large they are: in MiB.
const ESP: (u64, u64) = (1, 40);
const ROOT: (u64, u64) = (41, 80);
const EXT4: &str = "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75";

/// A loop device on all of the disk, or on a partition.
fn device(part: Option<(u64, u64)>, sector: u64) -> Value {
    let mut options = json!({"filename": "disk.img"});
    if let Some((start, size)) = part {
        options["start"] = (start * MIB / sector).into();
        options["size"] = (size * MIB / sector).into();
    }
    if sector != 512 {
        options["sector-size"] = sector.into();
    }
    json!({"type": "org.osbuild.loopback", "options": options})
}

fn on(kind: &str, options: Value, part: Option<(u64, u64)>, sector: u64) -> Value {
    json!({"type": kind, "options": options, "devices": {"device": device(part, sector)}})
}

fn mounted(kind: &str, options: Value, sector: u64) -> Value {
    json!({
        "type": kind, "options": options,
        "devices": {"efi": device(Some(ESP), sector), "root": device(Some(ROOT), sector)},
        "mounts": [
            {"name": "root", "type": "org.osbuild.ext4", "source": "root", "target": "/"},
            {"name": "efi", "type": "org.osbuild.fat", "source": "efi", "target": "/boot/efi"},
        ],
    })
}

/// Only the root file system, since not every kernel has FAT.
fn root_mounted(kind: &str, options: Value) -> Value {
    let mut stage = mounted(kind, options, 512);
    stage["devices"].as_object_mut().unwrap().remove("efi");
    stage["mounts"].as_array_mut().unwrap().pop();
    stage
}

fn empty_disk(sector: u64) -> Vec<Value> {
    let part =
        |(start, size): (u64, u64)| json!({"start": start * MIB / sector, "size": size * MIB / sector});
    let table = json!({
        "label": "gpt", "uuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "partitions": [part(ESP), part(ROOT)],
    });
    vec![
        json!({"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "128M"}}),
        on("org.osbuild.sfdisk", table, None, sector),
        on(
            "org.osbuild.mkfs.fat",
            json!({"volid": "7B7795E7", "label": "ESP"}),
            Some(ESP),
            sector,
        ),
        on(
            "org.osbuild.mkfs.ext4",
            json!({"uuid": EXT4, "label": "root"}),
            Some(ROOT),
            sector,
        ),
    ]
}

/// A tree of files, and the pipeline `image` with these stages after an empty disk.
fn manifest(sector: u64, more: Vec<Value>) -> Value {
    let paths = ["/etc", "/boot", "/boot/efi", "/boot/efi/EFI", "/deep"].map(|path| json!({"path": path}));
    let tree = json!([
        {"type": "org.osbuild.mkdir", "options": {"paths": paths}},
        {"type": "org.osbuild.hostname", "options": {"hostname": "box"}},
        {"type": "org.osbuild.chown", "options": {"items": {"/deep": {"user": 1000, "group": 1001}}}},
    ]);
    let stages = [empty_disk(sector), more].concat();
    json!({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": 1_000_000_000, "stages": tree},
        {"name": "image", "source-epoch": 1_000_000_000, "stages": stages},
    ]})
}

fn copy(sector: u64) -> Value {
    let mut stage = mounted(
        "org.osbuild.copy",
        json!({"paths": [{"from": "input://tree/", "to": "mount://root/"}]}),
        sector,
    );
    stage["inputs"] = json!({"tree": {
        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"],
    }});
    stage
}

fn mkdir(path: &str) -> Value {
    root_mounted(
        "org.osbuild.mkdir",
        json!({"paths": [{"path": format!("mount://root{path}")}]}),
    )
}

fn built(what: &str) -> Option<TestEnv> {
    (need::root(what) && need::tools(&["mke2fs", "e2fsck", "debugfs"], what)).then(TestEnv::new)
}

fn disk(env: &TestEnv) -> PathBuf {
    env.out().join("image/disk.img")
}

fn debugfs(disk: &Path, request: &str) -> String {
    let image = format!("{}?offset={}", disk.display(), ROOT.0 * MIB);
    tool(Command::new("debugfs").args(["-R", request, &image])).unwrap()
}

fn build(env: &TestEnv, manifest: &Value) {
    env.build(manifest, &["--export", "image"]).expect(0);
}

#[test]
fn a_manifest_from_the_shelf_makes_a_disk() {
    let Some(env) = built("disks") else { return };
    build(&env, &manifest(512, vec![copy(512), mkdir("/later")]));
    let disk = disk(&env);
    oracle::e2fsck(&disk, ROOT.0 * MIB).unwrap();
    assert_eq!(
        oracle::ext4_file(&disk, ROOT.0 * MIB, "/etc/hostname").unwrap(),
        "box\n"
    );
    let root = debugfs(&disk, "ls /");
    assert!(root.contains("lost+found") && root.contains("later"), "{root}");
    // what lies in the mount on top is not in the one below
    assert!(!debugfs(&disk, "ls /boot/efi").contains("EFI"));
    assert!(debugfs(&disk, "stat /deep").contains("User:  1000   Group:  1001"));
    if need::tools(&["sfdisk", "fsck.fat", "mdir"], "the table and the ESP") {
        let parts = oracle::partitions(&disk).unwrap();
        assert_eq!(parts.len(), 2);
        oracle::fsck_fat(&disk, &parts[0]).unwrap();
        let image = format!("{}@@{}", disk.display(), ESP.0 * MIB);
        let list = tool(Command::new("mdir").args(["-b", "-i", &image, "::"])).unwrap();
        assert!(list.contains("EFI"), "{list}");
    }
    assert_eq!(env.left_behind(), Vec::<String>::new());
}

#[test]
fn another_store_at_another_time_makes_the_same_bytes() {
    let (Some(one), Some(two)) = (built("disks twice"), built("disks twice")) else {
        return;
    };
    let manifest = manifest(512, vec![copy(512), mkdir("/later")]);
    build(&one, &manifest);
    // another second, also for what file systems count in
    std::thread::sleep(std::time::Duration::from_millis(1100));
    build(&two, &manifest);
    assert!(fs::read(disk(&one)).unwrap() == fs::read(disk(&two)).unwrap());
}

#[test]
fn a_longer_manifest_goes_on_where_the_shorter_one_ended() {
    let (Some(env), Some(fresh)) = (built("longer manifests"), built("longer manifests")) else {
        return;
    };
    build(&env, &manifest(512, vec![copy(512)]));
    let longer = manifest(512, vec![copy(512), mkdir("/later"), mkdir("/later/still")]);
    build(&env, &longer);
    build(&fresh, &longer);
    // the disk that was written once and again is the one that was written once
    assert!(fs::read(disk(&env)).unwrap() == fs::read(disk(&fresh)).unwrap());
}

/// A whole tree that goes first into a fresh file system is put below it, and not copied; with a path that is written in
/// another way it is.
#[test]
fn a_tree_that_is_put_below_a_file_system_is_one_that_is_copied() {
    let (Some(put), Some(copied)) = (built("trees put below"), built("trees put below")) else {
        return;
    };
    let mut stage = copy(512);
    let more = json!({"from": "input://tree/etc/hostname", "to": "mount://root/deep/"});
    stage["options"]["paths"].as_array_mut().unwrap().push(more);
    build(&put, &manifest(512, vec![stage.clone(), mkdir("/later")]));
    stage["options"]["paths"][0]["from"] = "input://tree//".into();
    build(&copied, &manifest(512, vec![stage, mkdir("/later")]));
    assert!(fs::read(disk(&put)).unwrap() == fs::read(disk(&copied)).unwrap());
    assert!(debugfs(&disk(&put), "ls /deep").contains("hostname"));
    assert_eq!(put.left_behind(), Vec::<String>::new());
}

#[test]
fn sectors_of_4096_bytes_work() {
    let Some(env) = built("large sectors") else { return };
    build(&env, &manifest(4096, vec![copy(4096)]));
    let disk = disk(&env);
    oracle::e2fsck(&disk, ROOT.0 * MIB).unwrap();
    let bytes = fs::read(&disk).unwrap();
    assert_eq!(&bytes[4096..4104], b"EFI PART");
    let boot = &bytes[(ESP.0 * MIB) as usize..];
    assert_eq!(
        u16::from_le_bytes([boot[11], boot[12]]),
        4096,
        "the ESP's sectors"
    );
}

#[test]
fn partitions_are_mounted_by_their_numbers() {
    let Some(env) = built("partitions by number") else {
        return;
    };
    let mut stage = copy(512);
    let mut whole = device(None, 512);
    whole["options"]["partscan"] = true.into();
    stage["devices"] = json!({"disk": whole});
    for (mount, number) in [(0, 2), (1, 1)] {
        stage["mounts"][mount]["source"] = "disk".into();
        stage["mounts"][mount]["partition"] = number.into();
    }
    build(&env, &manifest(512, vec![stage]));
    assert_eq!(
        oracle::ext4_file(&disk(&env), ROOT.0 * MIB, "/etc/hostname").unwrap(),
        "box\n"
    );
}

#[test]
fn what_fat_cannot_hold_fails_the_stage_and_leaves_nothing() {
    let Some(env) = built("failing disks") else { return };
    let mut manifest = manifest(512, vec![copy(512)]);
    let link = json!({"type": "org.osbuild.timezone", "options": {"zone": "UTC"}});
    manifest["pipelines"][0]["stages"]
        .as_array_mut()
        .unwrap()
        .push(link);
    let paths = json!([
        {"from": "input://tree/", "to": "mount://root/"}, {"from": "input://tree/etc", "to": "mount://efi/"},
    ]);
    manifest["pipelines"][1]["stages"][4]["options"]["paths"] = paths;
    let run = env.build(&manifest, &["--export", "image"]).expect(1);
    run.says(&[
        "FAT cannot hold /etc/",
        "it is neither a file nor a directory",
        ".pipelines[1].stages[2]",
    ]);
    assert_eq!(env.left_behind(), Vec::<String>::new());
}

#[test]
fn devices_and_mounts_that_cannot_be_are_told() {
    let Some(env) = built("bad devices") else { return };
    let beyond = on(
        "org.osbuild.mkfs.ext4",
        json!({"uuid": EXT4}),
        Some((100, 100)),
        512,
    );
    let run = env
        .build(&manifest(512, vec![beyond]), &["--export", "image"])
        .expect(1);
    run.says(&["device/device: it is to begin at byte 104857600 of disk.img"]);
    let mut other = copy(512);
    other["mounts"][1]["type"] = "org.osbuild.ext4".into();
    let run = env
        .build(&manifest(512, vec![other]), &["--export", "image"])
        .expect(1);
    run.says(&["mount/efi: the file system there is fat, not ext4"]);
    let crypt = json!({
        "type": "org.osbuild.noop",
        "devices": {
            "disk": device(None, 512),
            "crypt": {"type": "org.osbuild.luks2", "parent": "disk", "options": {"passphrase": "x"}},
        },
    });
    if !Path::new("/dev/mapper/control").exists() {
        let run = env
            .build(&manifest(512, vec![crypt]), &["--export", "image"])
            .expect(1);
        run.says(&["device/crypt: an encrypted device needs the kernel's device mapper"]);
    }
    assert_eq!(env.left_behind(), Vec::<String>::new());
}

#[test]
fn schemas_of_devices_and_mounts_name_the_place() {
    let env = TestEnv::new();
    let mut wrong = copy(512);
    wrong["devices"]["efi"]["options"] = json!({"start": "1"});
    wrong["mounts"][0]["options"] = json!({"readonly": 1, "subvol": "x"});
    let mut manifest = manifest(512, Vec::new());
    manifest["pipelines"][1]["stages"] = json!([wrong]);
    let run = env.build(&manifest, &["--json"]).expect(2);
    let errors = run.json()["errors"].as_array().unwrap().clone();
    let paths: Vec<String> = errors.iter().map(|error| error["path"].to_string()).collect();
    let stage = r#"["pipelines",1,"stages",0,"#;
    for place in [
        r#""devices","efi","options"]"#,
        r#""devices","efi","options","start"]"#,
    ] {
        assert!(paths.contains(&format!("{stage}{place}")), "{paths:?}");
    }
    assert!(
        paths
            .iter()
            .any(|path| path.contains(r#""mounts","root","options""#)),
        "{paths:?}"
    );
    let page = |name: &str| env.osbuild(["modules", name]).expect(0).stdout;
    let device = page("loopback");
    assert!(device.contains("org.osbuild.loopback (device)") && device.contains("sector-size: number"));
    let mount = page("ext4");
    assert!(mount.contains("org.osbuild.ext4 (mount)") && mount.contains("norecovery: boolean"));
}

#[test]
fn foreign_stages_in_between_get_real_devices() {
    let what = "foreign stages on our devices";
    let Some(env) = built(what) else { return };
    if !need::tools(&["python3"], what) || !Path::new("/dev/loop-control").exists() {
        return println!("skipped: {what}: no python3 or no loop devices");
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign_protocol/lib");
    tool(Command::new("cp").arg("-r").arg(from).arg(env.path("lib"))).unwrap();
    tool(Command::new("chmod").args(["-R", "0755"]).arg(env.path("lib"))).unwrap();
    let theirs = |what: &str| root_mounted("org.example.disk", json!({"do": what}));
    // ours, theirs on what ours wrote, ours again on what theirs changed
    let stages = vec![copy(512), theirs("fill"), mkdir("/later"), theirs("look")];
    env.build(&manifest(512, stages), &["-l", "lib", "--export", "image"])
        .expect(0);
    let disk = disk(&env);
    oracle::e2fsck(&disk, ROOT.0 * MIB).unwrap();
    assert_eq!(
        oracle::ext4_file(&disk, ROOT.0 * MIB, "/deep/mine").unwrap(),
        "mine\n"
    );
    assert!(debugfs(&disk, "ls /").contains("later"));
    let failing = vec![copy(512), theirs("no such thing")];
    env.build(&manifest(512, failing), &["-l", "lib", "--export", "image"])
        .expect(1);
    assert_eq!(env.left_behind(), Vec::<String>::new());
}

#[test]
fn file_systems_that_cannot_be_written_are_read_by_the_kernel() {
    let what = "read-only file systems, mounted";
    if !need::root(what) || !need::tools(&["mksquashfs", "mkfs.erofs"], what) {
        return;
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let env = TestEnv::new();
    for (kind, maker, options) in [
        (
            "squashfs",
            "org.osbuild.squashfs",
            json!({"filename": "disk.img", "compression": {"method": "zstd"}}),
        ),
        ("erofs", "org.osbuild.erofs", json!({"filename": "disk.img"})),
    ] {
        if !known.contains(kind) {
            println!("skipped: this kernel has no {kind}");
            continue;
        }
        let input = json!({"tree": {
            "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:content"],
        }});
        let copy = json!({
            "type": "org.osbuild.copy",
            "options": {"paths": [{"from": "mount://image/etc/hostname", "to": "tree:///found"}]},
            "devices": {"image": {
                "type": "org.osbuild.loopback", "options": {"filename": "disk.img", "read-only": true},
            }},
            "mounts": [{"name": "image", "type": format!("org.osbuild.{kind}"), "source": "image", "target": "/"}],
        });
        let manifest = json!({"version": "2", "pipelines": [
            {"name": "content", "stages": [
                {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
                {"type": "org.osbuild.hostname", "options": {"hostname": kind}},
            ]},
            {"name": "tree", "stages": [{"type": maker, "inputs": input, "options": options}, copy]},
        ]});
        env.build(&manifest, &["--export", "tree"]).expect(0);
        let found = fs::read_to_string(env.out().join("tree/found")).unwrap();
        assert_eq!(found, format!("{kind}\n"));
        fs::remove_dir_all(env.out()).unwrap();
    }
}
