//! `--stand-in qemu-img`: modules that convert disks find our writers first, the same disk comes out, and what those do not
//! know the build root's program does. Without the option nothing of this happens.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{TestEnv, need, oracle};

const OPTION: [&str; 2] = ["--stand-in", "qemu-img"];

/// Makes a disk of 8 MiB, at the path that the shell is given: some zeros, some text, some program.
const DISK: &str = r#"disk() {
    truncate -s 8M "$1"
    seq 200000 | head -c 1300000 | dd of="$1" bs=64k seek=3 conv=notrunc status=none
    head -c 700000 /usr/bin/env | dd of="$1" bs=4k seek=1500 conv=notrunc status=none
}
"#;

/// Builds with further options; what the stages that ran have printed.
fn build(env: &TestEnv, manifest: &Value, options: &[&str]) -> Vec<String> {
    let _ = fs::remove_dir_all(env.out());
    let run = env
        .build(manifest, &[&["-l", "lib", "--json"], options].concat())
        .expect(0);
    let log = &run.json()["log"];
    let stages = log.as_object().into_iter().flatten();
    let stages = stages.flat_map(|(_, stages)| stages.as_array().cloned().unwrap_or_default());
    stages
        .map(|stage| stage["output"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// What a guest finds in an image of this format, which a `vpc` without its name would hide.
fn content(env: &TestEnv, image: &Path, format: &str) -> Vec<u8> {
    let raw = env.path("raw");
    let mut convert = Command::new("qemu-img");
    convert
        .args(["convert", "-f", format, "-O", "raw"])
        .args([image, &raw]);
    oracle::tool(&mut convert).unwrap();
    let content = fs::read(&raw).unwrap();
    fs::remove_file(&raw).unwrap();
    content
}

#[test]
fn ours_is_found_where_it_is_asked_for_and_hands_on_what_it_does_not_know() {
    if !need::root("stages in any language") || !need::tools(&["qemu-img"], "conversions by qemu-img") {
        return;
    }
    let env = TestEnv::new();
    let convert = r#"set -e
cd /run/osbuild/tree
disk $PWD/disk
command -v qemu-img
qemu-img convert -O qcow2 -c $PWD/disk $PWD/image.qcow2
qemu-img convert -O qcow2 -c -o cluster_size=4096 $PWD/disk $PWD/unknown.qcow2
qemu-img info --output=json $PWD/unknown.qcow2 > info
if qemu-img convert -O qcow2 $PWD/nothing $PWD/none.qcow2; then exit 1; fi"#;
    env.stage("org.example.convert", &format!("{DISK}{convert}"));
    env.stage("org.example.other", "echo other");
    let other = json!({"type": "org.example.other"});
    let manifest = tree_of(json!([other, {"type": "org.example.convert"}]));
    let image = env.out().join("image.qcow2");

    let real = build(&env, &manifest, &[]);
    assert_eq!((real.len(), real[0].as_str()), (2, "other\n"));
    assert!(real[1].contains("/usr/bin/qemu-img\n"), "{}", real[1]);
    let of_real = (fs::read(&image).unwrap(), content(&env, &image, "qcow2"));

    let ours = build(&env, &manifest, &OPTION);
    assert_eq!(
        ours.len(),
        1,
        "what does not run the program is not made again: {ours:?}"
    );
    assert!(ours[0].contains("/run/osbuild/tools/qemu-img\n"), "{}", ours[0]);
    assert!(
        ours[0].contains("Could not open"),
        "the real one says why it fails: {}",
        ours[0]
    );
    oracle::qemu_img_check(&image).unwrap();
    assert!(content(&env, &image, "qcow2") == of_real.1, "it is the same disk");
    assert_eq!(of_real.1, fs::read(env.out().join("disk")).unwrap());
    assert!(
        fs::read(&image).unwrap() != of_real.0,
        "another program has written it"
    );
    let info: Value = serde_json::from_slice(&fs::read(env.out().join("info")).unwrap()).unwrap();
    assert_eq!(info["cluster-size"], 4096, "the real one has made it");
    assert_eq!(build(&env, &manifest, &OPTION), [""; 0], "it is in the store now");
    assert_eq!(
        build(&env, &manifest, &[]).len(),
        1,
        "and is not what the real one would make"
    );

    env.build(&manifest, &["--stand-in", "mke2fs"])
        .expect(2)
        .says(&["qemu-img"]);
}

#[test]
fn the_python_osbuilds_own_stage_makes_the_same_disk() {
    let what = "the Python osbuild's stages";
    let Some(checkout) = std::env::var_os("PEER_OSBUILD").filter(|path| !path.is_empty()) else {
        eprintln!("skipped: {what}: PEER_OSBUILD names no checkout");
        return;
    };
    if !need::root(what) || !need::tools(&["qemu-img", "python3"], what) {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.example.disk",
        &format!("{DISK}disk /run/osbuild/tree/disk.img"),
    );
    let peer = checkout.to_str().unwrap();
    for format in [
        json!({"type": "qcow2"}),
        json!({"type": "qcow2", "compression": false, "compat": "0.10"}),
        json!({"type": "vdi"}),
        json!({"type": "vmdk"}),
        json!({"type": "vmdk", "subformat": "streamOptimized", "adapter_type": "lsilogic"}),
        json!({"type": "vpc"}),
        json!({"type": "vhdx"}),
    ] {
        let manifest = json!({"version": "2", "pipelines": [
            {"name": "image", "stages": [{"type": "org.example.disk"}]},
            {"name": "result", "stages": [{
                "type": "org.osbuild.qemu",
                "inputs": {"image": {
                    "type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
                    "references": {"name:image": {"file": "disk.img"}},
                }},
                "options": {"filename": "image", "format": format},
            }]},
        ]});
        let image = env.out().join("image");
        let made = |options: &[&str]| {
            build(&env, &manifest, &[&["-l", peer], options].concat());
            let info = oracle::qemu_img_info(&image).unwrap();
            let said = ["format", "virtual-size"].map(|key| info[key].clone());
            let name = format["type"].as_str().unwrap();
            (said, content(&env, &image, name), fs::read(&image).unwrap())
        };
        let (real, ours) = (made(&[]), made(&OPTION));
        assert_eq!(ours.0, real.0, "{format}");
        assert!(ours.1 == real.1, "{format}: another disk");
        assert!(ours.2 != real.2, "{format}: the same program");
    }
}
