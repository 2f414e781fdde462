//! A system of two RPM packages, made here: the kernel, which is Debian's, and all else, which is one program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::sha256;
use tests::oracle::tool;
use tests::qemu::{Boot, Machine};
use tests::{TestEnv, need};

use super::Place;

const WHAT: &str = "a system of RPM packages";
const UUID: &str = "6d3c1f8e-52a7-4b90-8e1d-0f4a9c7b2d35";
const MIB: u64 = 2048;
const ROOT: (u64, u64) = (2, 253);

const SPEC: &str = r#"
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
Name: small
Version: 1
Release: 1
Summary: A system
License: MIT
%description
A system.

%package -n system
Summary: All but the kernel
AutoReqProv: no
%description -n system
All but the kernel.
%files -n system
%dir /etc
/sbin/init
%post -n system -p <lua>
local file = io.open("/etc/posted", "w")
file:write("installed by rpm\n")
file:close()

%package -n kernel
Summary: A kernel
AutoReqProv: no
%description -n kernel
A kernel.
%files -n kernel
/boot/vmlinuz-1
/boot/initramfs-1.img

%install
cd %{buildroot}
mkdir -p etc sbin boot
cp %{payload}/init sbin/init
cp %{payload}/vmlinuz boot/vmlinuz-1
cp %{payload}/initrd.img boot/initramfs-1.img
"#;

/// Says what the package's script left, and ends.
const INIT: &str = r#"
#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>
int main(void) {
    static const char hello[] = "\nthe small system is ";
    char text[100];
    int file = open("/etc/posted", O_RDONLY);
    ssize_t size = read(file, text, sizeof text);
    write(1, hello, sizeof hello - 1);
    if (size > 0) write(1, text, size);
    sync();
    /* what was written is on its way */
    sleep(1);
    return reboot(RB_POWER_OFF);
}
"#;

#[test]
fn packages_built_by_rpmbuild() {
    if !need::tools(&["rpm", "rpmbuild", "cc"], WHAT) {
        return;
    }
    let Some(place) = Place::get(WHAT) else { return };
    let env = TestEnv::new();
    // it brings a kernel, and GRUB in the build root
    let debian = place.pinned("debian-xfs");
    let packages = packages(&env, &kernel(place, &debian));
    let manifest = manifest(&debian, &packages);
    let image = place.export("small-rpm", &manifest, "image").join("disk.qcow2");
    let mut machine = Machine::start(&Boot::new(image)).unwrap();
    let said = machine
        .console()
        .wait_for(&["the small system is installed by rpm\n"], super::LOGIN);
    said.unwrap();
    let end = machine
        .console()
        .wait_for_kernel("Power down", Duration::from_secs(120));
    end.unwrap();
}

/// The directory with Debian's kernel and its initial RAM file system.
fn kernel(place: &Place, debian: &Value) -> PathBuf {
    let file = |name: &str| {
        json!({
            "type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
            "references": {"name:os": {"file": format!("/{name}")}},
        })
    };
    let path =
        |name: &str| json!({"from": format!("input://{name}/{name}"), "to": format!("tree:///{name}")});
    let (vmlinuz, initrd) = ("vmlinuz", "initrd.img");
    let stage = json!({
        "type": "org.osbuild.copy", "inputs": {vmlinuz: file(vmlinuz), initrd: file(initrd)},
        "options": {"paths": [path(vmlinuz), path(initrd)]},
    });
    let mut manifest = debian.clone();
    let pipelines = manifest["pipelines"].as_array_mut().unwrap();
    pipelines.push(json!({"name": "kernel", "stages": [stage]}));
    place.export("kernel", &manifest, "kernel")
}

/// The packages' files.
fn packages(env: &TestEnv, kernel: &Path) -> Vec<PathBuf> {
    let payload = env.path("payload");
    fs::create_dir(&payload).unwrap();
    for name in ["vmlinuz", "initrd.img"] {
        fs::copy(kernel.join(name), payload.join(name)).unwrap();
    }
    let source = env.write("payload/init.c", INIT);
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O", "-o"]).arg(payload.join("init"));
    tool(compiler.arg(source)).unwrap();
    let mut build = Command::new("rpmbuild");
    for (name, path) in [("payload", &payload), ("_topdir", &env.path("rpm"))] {
        build.args(["--define", &format!("{name} {}", path.display())]);
    }
    build.args(["--define", "_binary_payload w1.gzdio", "-bb"]);
    tool(build.arg(env.write("small.spec", SPEC))).unwrap();
    let built = fs::read_dir(env.path("rpm/RPMS/x86_64")).unwrap();
    let mut built: Vec<PathBuf> = built.map(|entry| entry.unwrap().path()).collect();
    built.sort();
    assert_eq!(built.len(), 2, "{built:?}");
    built
}

/// The packages become a tree, the tree a disk that GRUB boots.
fn manifest(debian: &Value, packages: &[PathBuf]) -> Value {
    let mut manifest = debian.clone();
    let mut items = serde_json::Map::new();
    for package in packages {
        let url = format!("file://{}", package.display());
        items.insert(sha256(fs::read(package).unwrap()), url.into());
    }
    let references: Vec<&String> = items.keys().collect();
    let rpm = json!({
        "type": "org.osbuild.rpm", "options": {"dbpath": "/usr/lib/sysimage/rpm"},
        "inputs": {"packages": {
            "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": references,
        }},
    });
    let tree = |name: &str| {
        json!({"tree": {
            "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{name}")],
        }})
    };
    let copy = |to: &str| json!({"paths": [{"from": "input://tree/", "to": to}]});
    let grub = json!({
        "rootfs": {"uuid": UUID}, "bios": {"platform": "i386-pc"}, "write_defaults": false,
        "config": {"cmdline": "rw console=ttyS0"},
        "entries": [{"id": UUID, "default": true, "kernel": "1", "product": {"name": "Small", "version": "1"}}],
    });
    // what the kernel shows is there while packages are installed: they cannot bring its places
    let places = ["/dev", "/proc", "/run", "/sys"].map(|path| json!({"path": path, "exist_ok": true}));
    let root = json!([
        {"type": "org.osbuild.copy", "inputs": tree("packages"), "options": copy("tree:///")},
        {"type": "org.osbuild.mkdir", "options": {"paths": places}},
        {"type": "org.osbuild.grub2.legacy", "options": grub},
    ]);
    let device = |part: bool| match part {
        true => json!({"type": "org.osbuild.loopback", "options": {
            "filename": "disk.img", "start": ROOT.0 * MIB, "size": ROOT.1 * MIB,
        }}),
        false => json!({"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}}),
    };
    let table = json!({
        "label": "gpt", "uuid": "0D8B6C14-9E2F-4A7B-8C35-6E1F0A9D4B72",
        "partitions": [
            {"start": MIB, "size": MIB, "type": "21686148-6449-6E6F-744E-656564454649"},
            {"start": ROOT.0 * MIB, "size": ROOT.1 * MIB},
        ],
    });
    let disk = json!([
        {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "256M"}},
        {"type": "org.osbuild.sfdisk", "options": table, "devices": {"device": device(false)}},
        {"type": "org.osbuild.mkfs.ext4", "options": {"uuid": UUID}, "devices": {"device": device(true)}},
        {
            "type": "org.osbuild.copy", "inputs": tree("root"), "options": copy("mount://root/"),
            "devices": {"root": device(true)},
            "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "root", "target": "/"}],
        },
        {"type": "org.osbuild.grub2.inst", "options": {
            "filename": "disk.img", "platform": "i386-pc", "location": MIB,
            "core": {"type": "mkimage", "partlabel": "gpt", "filesystem": "ext4"},
            "prefix": {"type": "partition", "partlabel": "gpt", "number": 1, "path": "/boot/grub2"},
        }},
    ]);
    let image = json!([{
        "type": "org.osbuild.qemu", "options": {"filename": "disk.qcow2", "format": {"type": "qcow2"}},
        "inputs": {"image": {
            "type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
            "references": {"name:disk": {"file": "disk.img"}},
        }},
    }]);
    let pipelines = manifest["pipelines"].as_array_mut().unwrap();
    // of Debian only what the tools need
    pipelines.retain(|pipeline| pipeline["name"] == "build" || pipeline["name"] == "tools");
    let build = "name:tools";
    pipelines.extend([
        json!({"name": "packages", "stages": [rpm]}),
        json!({"name": "root", "build": build, "stages": root}),
        json!({"name": "disk", "build": build, "stages": disk}),
        json!({"name": "image", "build": build, "stages": image}),
    ]);
    manifest["sources"]["org.osbuild.curl"] = json!({"items": items});
    manifest
}
