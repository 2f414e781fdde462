//! On a machine with a device mapper, and of today's kind (control groups of version 2 alone, somebody logged in, the kernel
//! of Debian 12): our devices `luks2` and `lvm2.lv` are the kernel's, and nothing of them is left.
//!
//! The machine is a virtual one, which finds the commands under test and a manifest on its second disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::qemu::{Boot, LOGIN, Machine};
use tests::{Binaries, TestEnv, need, oracle, run};

use crate::debian::share_sources;

/// To resolve and build the machine's own disk.
const BUILD: Duration = Duration::from_secs(900);
/// A build on such a processor.
const INSIDE: Duration = Duration::from_secs(1200);

const MACHINE: &str = r#"name = "mapper"
[[packages]]
name = "cryptsetup-bin"
[[packages]]
name = "lvm2"
[[customizations.user]]
name = "root"
# changeme
password = "$6$ofanexample$FQAOnUZ0WiTy3BJLOPpS0BPSfy7fNKlSxWzzaRL3j3D7Wsmqk1SCPNl.Z603ZniJ9j07tUZA56wmWIBwelfuZ1"
"#;

/// Where the two partitions begin, and how large they are: in sectors.
const ENCRYPTED: (u64, u64) = (2048, 49_152);
const VOLUMES: (u64, u64) = (51_200, 65_536);

#[test]
fn encrypted_devices_and_logical_volumes() {
    let what = "devices of the device mapper";
    if !need::root(what) || !need::tools(&["qemu-system-x86_64", "mke2fs", "strip"], what) {
        return;
    }
    let env = TestEnv::new();
    let image = machine_disk(&env);
    let second = second_disk(&env);
    let mut boot = Boot::new(image);
    boot.drives.push(second);
    let mut machine = Machine::start(&boot).unwrap();
    let done = inside(&mut machine);
    done.with_context(|| machine.transcript()).unwrap();
    machine.power_off().unwrap();
}

fn machine_disk(env: &TestEnv) -> PathBuf {
    let binaries = Binaries::find().unwrap();
    share_sources(&env.path("store"));
    env.write("machine.toml", MACHINE);
    let mut resolve = env.command(binaries.image_builder());
    resolve.args(["manifest", "--type", "qcow2", "--distro", "debian-12"]);
    resolve.args(["--blueprint", "machine.toml", "--cache"]);
    resolve.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("lists"));
    let resolved = run(&mut resolve, b"", BUILD).expect(0);
    env.write("machine.json", resolved.stdout);
    let mut build = env.command(binaries.osbuild());
    build.args(["-q", "machine.json", "--store", "store", "--output", "machine"]);
    run(&mut build, b"", BUILD).expect(0);
    env.path("machine/disk.qcow2")
}

/// The commands and the manifest, with room for a store.
fn second_disk(env: &TestEnv) -> PathBuf {
    let (dir, disk) = (env.path("second"), env.path("second.raw"));
    fs::create_dir(&dir).unwrap();
    for name in ["osbuild", "osbuild-modules"] {
        let from = Binaries::find().unwrap().dir.join(name);
        oracle::tool(Command::new("strip").arg("-o").arg(dir.join(name)).arg(from)).unwrap();
    }
    fs::write(dir.join("manifest.json"), manifest().to_string()).unwrap();
    fs::File::create(&disk).unwrap().set_len(1 << 30).unwrap();
    oracle::tool(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .args([&dir, &disk]),
    )
    .unwrap();
    disk
}

fn part((start, size): (u64, u64)) -> Value {
    json!({"type": "org.osbuild.loopback", "options": {"filename": "disk.img", "start": start, "size": size}})
}

fn encrypted() -> Value {
    json!({"type": "org.osbuild.luks2", "parent": "part", "options": {"passphrase": "secret"}})
}

fn volume() -> Value {
    json!({"type": "org.osbuild.lvm2.lv", "parent": "part", "options": {"volume": "one"}})
}

/// A file system on `device`, which lies on a partition, and the tree in it.
fn filled(place: (u64, u64), device: &Value, uuid: &str) -> [Value; 2] {
    let make = json!({
        "type": "org.osbuild.mkfs.ext4", "options": {"uuid": uuid},
        "devices": {"part": part(place), "device": device},
    });
    let fill = json!({
        "type": "org.osbuild.copy",
        "options": {"paths": [{"from": "input://tree/", "to": "mount://root/"}]},
        "inputs": {"tree": {
            "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"],
        }},
        "devices": {"part": part(place), "inner": device},
        "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "inner", "target": "/"}],
    });
    [make, fill]
}

fn manifest() -> Value {
    let on = |kind: &str, options: Value, device: Value| json!({"type": kind, "options": options, "devices": {"device": device}});
    let partition = |(start, size): (u64, u64)| json!({"start": start, "size": size});
    let table = json!({
        "label": "gpt", "uuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0",
        "partitions": [partition(ENCRYPTED), partition(VOLUMES)],
    });
    let whole = json!({"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}});
    let format = json!({
        "passphrase": "secret", "uuid": "3e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
        "pbkdf": {"method": "pbkdf2", "iterations": 1000},
    });
    let volumes =
        json!({"volumes": [{"name": "one", "size": "16M"}, {"name": "two", "extents": "100%FREE"}]});
    let mut stages = vec![
        json!({"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "64M"}}),
        on("org.osbuild.sfdisk", table, whole),
        on("org.osbuild.luks2.format", format, part(ENCRYPTED)),
    ];
    stages.extend(filled(
        ENCRYPTED,
        &encrypted(),
        "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
    ));
    stages.push(on("org.osbuild.lvm2.create", volumes, part(VOLUMES)));
    stages.extend(filled(VOLUMES, &volume(), "7e4ff95f-f662-45ee-a82a-bdf44a2d0b75"));
    stages.push(on(
        "org.osbuild.lvm2.metadata",
        json!({"vg_name": "group"}),
        part(VOLUMES),
    ));
    json!({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": 1_000_000_000, "stages": [
            {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
            {"type": "org.osbuild.hostname", "options": {"hostname": "box"}},
        ]},
        {"name": "image", "source-epoch": 1_000_000_000, "stages": stages},
    ]})
}

fn inside(machine: &mut Machine) -> Result<()> {
    machine.wait_for_login(LOGIN)?;
    machine.login("root", "changeme")?;
    machine.ask("mount /dev/vdb /mnt")?;
    let mounts = machine.ask("cat /proc/self/mounts")?;
    let build =
        "cd /mnt && ./osbuild -q manifest.json --store store -o out --export image --json > done.json";
    machine.ask_within(build, INSIDE)?;
    for (left, nothing) in [
        ("losetup -a", ""),
        ("dmsetup ls", "No devices found"),
        ("ls /mnt/store/tmp", ""),
    ] {
        let answer = machine.ask(left)?;
        ensure!(answer == nothing, "{left}: {answer}");
    }
    ensure!(
        machine.ask("cat /proc/self/mounts")? == mounts,
        "mounts are left behind"
    );
    let limits = machine.ask("grep -o '\"by\": *\"[^\"]*\"' /mnt/done.json | sort -u")?;
    ensure!(
        limits.contains("control group"),
        "what limits the boxes: {limits}"
    );
    machine.ask("losetup -P /dev/loop0 /mnt/out/image/disk.img")?;
    machine.ask("printf secret | cryptsetup open /dev/loop0p1 inner -")?;
    machine.ask("udevadm settle; vgck group && vgchange -ay group")?;
    for device in ["/dev/mapper/inner", "/dev/group/one"] {
        machine.ask(&format!("e2fsck -fn {device}"))?;
        let name = machine.ask(&format!(
            "mount -o ro {device} /media && cat /media/etc/hostname && umount /media"
        ))?;
        ensure!(name == "box", "{device}: {name}");
    }
    Ok(())
}
