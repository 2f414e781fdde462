//! zipl, the boot loader of IBM Z, is run on the mounted file systems of a disk that is composed without mounts.
//!
//! The tool is for that architecture alone: a script in the build pipeline stands for it, which looks at what zipl looks at
//! and writes where it writes.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tests::oracle::{self, tool};
use tests::{TestEnv, need};

const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";

/// A build root with what the assembler runs.
const BUILD: &str = r#"set -e
cd /run/osbuild/tree
mkdir -p usr/sbin usr/bin usr/lib
# not what stands for mount(8) in the box
PATH=/usr/sbin:/usr/bin
for program in sh mount mke2fs cat dd; do
    path=$(command -v $program)
    cp -L "$path" "usr/bin/$program"
    ldd "$path" | grep -o '/[^ )]*' | while read -r library; do
        target=usr/lib/${library#*lib*/}
        mkdir -p "${target%/*}"
        cp -L "$library" "$target"
        case $library in /lib64/*) mkdir -p usr/lib64; cp -L "$library" usr/lib64;; esac
    done
done
cat > usr/sbin/zipl <<'END'
#!/bin/sh
set -e
echo "$@" > "$3/bootmap"
[ "$(cat "$5")" = kernel ] && [ "$(cat "$7")" = ram ]
shift 9
printf zIPL | dd "of=$2" conv=notrunc,fsync 2>/dev/null
END
chmod 755 usr/sbin/zipl
"#;

const TREE: &str = r#"set -e
cd /run/osbuild/tree
mkdir -p boot/loader/entries etc
printf kernel > boot/vmlinuz
printf ram > boot/initrd
printf 'title x\nlinux /vmlinuz\ninitrd /initrd\noptions root=/dev/sda2 ro\n' > boot/loader/entries/a.conf
"#;

fn manifest(format: &str) -> Value {
    let part = |size: Option<u32>, path: &str| {
        let mut part = json!({"filesystem": {"type": "ext4", "uuid": UUID, "mountpoint": path}});
        if let Some(size) = size {
            part["size"] = size.into();
        }
        part
    };
    let input =
        json!({"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]});
    json!({"version": "2", "pipelines": [
        {"name": "build", "stages": [{"type": "org.test.build"}]},
        {"name": "tree", "source-epoch": 1_700_000_000, "stages": [{"type": "org.test.tree"}]},
        {"name": "image", "build": "name:build", "source-epoch": 1_700_000_000, "stages": [{
            "type": "org.osbuild.qemu.assembler", "inputs": {"tree": input},
            "options": {
                "bootloader": {"type": "zipl"}, "format": format, "filename": "disk", "size": 96 << 20,
                "ptuuid": "0x14fc63d2", "pttype": "dos", "partitions": [
                    part(Some(65_536), "/boot"), part(None, "/"),
                ],
            },
        }]},
    ]})
}

fn env() -> TestEnv {
    let env = TestEnv::new();
    env.stage("org.test.build", BUILD);
    env.stage("org.test.tree", TREE);
    env
}

#[test]
fn it_sees_the_file_systems_and_writes_to_them_and_to_the_disk() {
    let what = "zipl on a disk";
    if !need::root(what) || !need::tools(&["mke2fs", "ldd", "e2fsck", "debugfs", "qemu-img"], what) {
        return;
    }
    if !std::path::Path::new("/dev/loop-control").exists() {
        return println!("skipped: {what}: this machine has no loop devices");
    }
    let env = env();
    env.build(&manifest("qcow2"), &["-l", "lib", "--export", "image"])
        .expect(0);
    let raw = env.path("raw");
    oracle::to_raw(&env.out().join("image/disk"), &raw).unwrap();
    assert_eq!(&fs::read(&raw).unwrap()[..4], b"zIPL");
    let partitions = oracle::partitions(&raw).unwrap();
    for partition in &partitions {
        oracle::e2fsck(&raw, partition.start).unwrap();
    }
    let said = oracle::ext4_file(&raw, partitions[0].start, "/bootmap").unwrap();
    let offset = format!("--targetoffset {}", partitions[0].start / 512);
    for words in [
        "--verbose --target ",
        "/boot --image ",
        "/boot/vmlinuz --ramdisk ",
        "/boot/initrd --parameters root=/dev/sda2 ro --targetbase /dev/loop",
        "--targettype SCSI --targetblocksize 512 ",
        &offset,
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(env.left_behind(), Vec::<String>::new());
}

#[test]
fn a_build_root_without_it_is_told_in_one_line() {
    if !need::root("building") {
        return;
    }
    let env = env();
    let mut manifest = manifest("raw");
    manifest["pipelines"][2].as_object_mut().unwrap().remove("build");
    if tool(Command::new("sh").args(["-c", "command -v zipl"])).is_ok() {
        return println!("skipped: this machine has zipl");
    }
    let failed = env
        .build(&manifest, &["-l", "lib", "--export", "image"])
        .expect(1);
    let line = "error: bootloader: the build pipeline has no /usr/sbin/zipl: add the package with it";
    assert!(failed.stderr.contains(line), "{failed}");
}
