//! A small CoreOS system: its tree and its disk images.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::TestEnv;
use tests::manifests::{base64, sha256};
use tests::oracle::tool;

use super::STAGE;

const SECTOR: u64 = 512;

/// Packs an image: what is said of it, and the mark of its table in the second sector. Packs a medium: only looks.
const INSTALLER: &str = r#"#!/bin/sh
set -e
case "$2" in
osmet)
    for output; do :; done
    { echo "$4" "$5" "$6" "$7"; head -c 4104 "$3" | tail -c 8; head -c 520 "$3" | tail -c 8; } > "$output"
    ;;
minimal-iso)
    [ -s "$3" ] && [ -s "$4" ] && [ "$5" = --consume ]
    rm "$4"
    ;;
esac
"#;

fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = [
        (
            "etc/os-release",
            "ID=demo\nVARIANT_ID=coreos\nPRETTY_NAME=\"Demo 1\"\nOSTREE_VERSION='1.2'\n",
        ),
        ("usr/share/coreos-assembler/image.json", "{}"),
        (
            "usr/share/coreos-installer/example-config.yaml",
            "# x\ndest-device: path\n",
        ),
        ("usr/lib/modules/6.1/vmlinuz", "the kernel"),
        ("usr/lib/modules/6.1/initramfs.img", "ram disk"),
        ("usr/bin/coreos-installer", INSTALLER),
        ("usr/lib/bootupd/updates/EFI/BOOT/BOOTX64.EFI", "shim"),
        ("usr/lib/bootupd/updates/EFI/BOOT/fbx64.efi", "fallback"),
        ("usr/lib/bootupd/updates/EFI/acme/BOOTX64.CSV", "csv"),
        ("usr/lib/bootupd/updates/EFI/acme/shimx64.efi", "shim"),
        ("usr/lib/bootupd/updates/EFI/acme/grubx64.efi", "grub"),
    ]
    .map(|(path, content)| (path.to_owned(), content.to_owned()))
    .to_vec();
    let room = format!("@@KERNEL-ARGS@@ {}# COREOS_KARG_EMBED_AREA\n", "#".repeat(200));
    for (path, content) in [
        ("zipl.prm", "x".to_owned()),
        ("README-devel.md", "x".to_owned()),
        (
            "EFI/vendor/grub.cfg",
            format!("linux /images/pxeboot/vmlinuz {room}"),
        ),
        ("isolinux/isolinux.cfg", format!("  append {room}")),
    ] {
        files.push((format!("usr/share/coreos-assembler/live/{path}"), content));
    }
    files
}

/// The tree: with a shell and what the script calls.
fn archive(env: &TestEnv) -> String {
    for (path, content) in files() {
        env.write(&format!("deployed/{path}"), content);
    }
    for program in ["sh", "ls", "head", "tail", "wc", "rm", "uname"] {
        bring(env, program);
    }
    let root = env.path("deployed");
    for dir in ["proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    tool(
        Command::new("chmod")
            .arg("0755")
            .arg(root.join("usr/bin/coreos-installer")),
    )
    .unwrap();
    let archive = env.path("deployed.tar");
    tool(
        Command::new("tar")
            .arg("-C")
            .arg(root)
            .arg("-cf")
            .arg(&archive)
            .arg("."),
    )
    .unwrap();
    sha256(fs::read(&archive).unwrap())
}

/// A program of this machine with its libraries.
fn bring(env: &TestEnv, program: &str) {
    let path = Path::new("/usr/bin").join(program);
    let libraries = tool(Command::new("ldd").arg(&path)).unwrap();
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for file in std::iter::once(path.to_str().unwrap()).chain(libraries) {
        let target = match file.strip_prefix("/lib") {
            Some(rest) => format!("deployed/usr/lib{rest}"),
            None => format!("deployed{file}"),
        };
        env.write(&target, fs::read(file).unwrap());
        tool(Command::new("chmod").arg("0755").arg(env.path(target))).unwrap();
    }
}

/// The tree, its disk images, and the medium made of them.
pub fn manifest(env: &TestEnv) -> Value {
    let digest = &archive(env);
    let loopback = |name: &str, start: u64, size: u64, sector: u64| {
        json!({"type": "org.osbuild.loopback", "options": {
            "filename": name, "start": start, "size": size, "sector-size": sector,
        }})
    };
    let partition = |kind: &str, start: u64, size: u64| json!({"type": kind, "start": start, "size": size});
    let linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    let esp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
    let table = |name: &str, sector: u64| {
        let scale = SECTOR * 2048 / sector;
        let partitions: Vec<Value> = [(linux, 1, 1), (esp, 2, 34), (linux, 36, 8), (linux, 44, 40)]
            .iter()
            .map(|(kind, start, size)| partition(kind, start * scale, size * scale))
            .collect();
        json!({
            "type": "org.osbuild.sfdisk",
            "options": {"label": "gpt", "uuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "partitions": partitions},
            "devices": {"device": loopback(name, 0, 100 * scale, sector)},
        })
    };
    let content = [
        ("boot/ostree/demo-1/vmlinuz-6.1", "the kernel"),
        ("boot/ostree/demo-1/.vmlinuz-6.1.hmac", "its digest"),
        (
            "boot/loader/entries/ostree-1.conf",
            "title x\noptions console=ttyS0 quiet ostree=/ostree/boot.1 $ignition_firstboot\n",
        ),
        (
            "ostree/repo/config",
            "[core]\nmode=bare\n[sysroot]\nreadonly=true\n",
        ),
        (
            ".aleph-version.json",
            "{\"container-image\": {\"image-labels\": {\"com.coreos.osname\": \"democos\"}}}",
        ),
    ];
    let mut items = serde_json::Map::new();
    let mut paths = Vec::new();
    for (path, content) in content {
        items.insert(
            sha256(content),
            json!({"encoding": "base64", "data": base64(content)}),
        );
        let from = format!("input://files/{}", sha256(content));
        paths.push(json!({"from": from, "to": format!("mount://root/{path}")}));
    }
    let dirs = ["boot/ostree/demo-1", "boot/loader/entries", "ostree/repo"];
    let dirs: Vec<Value> = dirs
        .iter()
        .map(|dir| json!({"path": format!("mount://root/{dir}"), "parents": true}))
        .collect();
    let mounted = |stage: Value| {
        let mut stage = stage;
        stage["devices"] = json!({
            "root": loopback("metal.raw", 44 * 2048, 40 * 2048, 512),
            "boot": loopback("metal.raw", 36 * 2048, 8 * 2048, 512),
        });
        stage["mounts"] = json!([
            {"name": "root", "type": "org.osbuild.ext4", "source": "root", "target": "/"},
            {"name": "boot", "type": "org.osbuild.ext4", "source": "boot", "target": "/boot"},
        ]);
        stage
    };
    let mkfs = |kind: &str, start: u64, size: u64, options: Value| {
        json!({
            "type": format!("org.osbuild.mkfs.{kind}"), "options": options,
            "devices": {"device": loopback("metal.raw", start * 2048, size * 2048, 512)},
        })
    };
    let uuid = |digit: &str| format!("{}4ff95f-f662-45ee-a82a-bdf44a2d0b75", digit.repeat(2));
    let references: Vec<String> = items.keys().cloned().collect();
    let file = |name: &str| {
        json!({"type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
               "references": {"name:disk": {"file": name}}})
    };
    json!({
        "version": "2",
        "sources": {
            "org.osbuild.inline": {"items": items},
            "org.osbuild.curl": {"items": {digest: format!("file://{}", env.path("deployed.tar").display())}},
        },
        "pipelines": [
            {"name": "deployed", "source-epoch": 1_700_000_000, "stages": [{"type": "org.osbuild.untar", "inputs": {"file": {
                "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [digest],
            }}}]},
            {"name": "disk", "source-epoch": 1_700_000_000, "stages": [
                {"type": "org.osbuild.truncate", "options": {"filename": "metal.raw", "size": "100M"}},
                {"type": "org.osbuild.truncate", "options": {"filename": "metal4k.raw", "size": "100M"}},
                table("metal.raw", 512),
                table("metal4k.raw", 4096),
                // not every kernel can mount FAT
                mkfs("ext4", 2, 34, json!({"uuid": uuid("c")})),
                mkfs("ext4", 36, 8, json!({"uuid": uuid("a")})),
                mkfs("ext4", 44, 40, json!({"uuid": uuid("b")})),
                {"type": "org.osbuild.mkdir", "options": {"paths": [
                    {"path": "mount://root/boot", "exist_ok": true}, {"path": "mount://boot/efi"},
                ]}, "devices": {
                    "root": loopback("metal.raw", 44 * 2048, 40 * 2048, 512),
                    "boot": loopback("metal.raw", 36 * 2048, 8 * 2048, 512),
                }, "mounts": [
                    {"name": "root", "type": "org.osbuild.ext4", "source": "root", "target": "/"},
                    {"name": "boot", "type": "org.osbuild.ext4", "source": "boot", "target": "/b"},
                ]},
                mounted(json!({"type": "org.osbuild.mkdir", "options": {"paths": dirs}})),
                mounted(json!({"type": "org.osbuild.copy", "options": {"paths": paths}, "inputs": {"files": {
                    "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": references,
                }}})),
            ]},
            {"name": "live", "source-epoch": 1_700_000_000, "stages": [{
                "type": STAGE,
                "inputs": {
                    "deployed-tree": {
                        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:deployed"],
                    },
                    "metal": file("metal.raw"), "metal4k": file("metal4k.raw"),
                },
                "options": {"filenames": {
                    "live-iso": "live.iso", "live-kernel": "kernel", "live-initramfs": "initramfs.img",
                    "live-rootfs": "rootfs.img",
                }},
            }]},
        ],
    })
}
