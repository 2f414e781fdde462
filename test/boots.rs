//! The image boots by BIOS and by UEFI, and in the booted system is what the blueprint asks for.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::qemu::{Boot, Firmware, LOGIN, Machine};
use tests::{TestEnv, oracle};

use crate::debian::Image;

const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const ROOT: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

#[test]
fn debian_12() {
    boots(12);
}

#[test]
fn debian_13() {
    boots(13);
}

fn boots(release: u32) {
    let image = Image::server(release);
    is_sound(image);
    // two machines at once are enough for a small computer
    static ONE_IMAGE: Mutex<()> = Mutex::new(());
    let _one = ONE_IMAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let (bios, uefi) = std::thread::scope(|scope| {
        let bios = scope.spawn(|| look_inside(image, Firmware::Bios));
        let uefi = look_inside(image, Firmware::Uefi);
        (bios.join().unwrap(), uefi)
    });
    let bios = bios.unwrap_or_else(|e| panic!("Debian {release} by BIOS: {e:#}"));
    let uefi = uefi.unwrap_or_else(|e| panic!("Debian {release} by UEFI: {e:#}"));
    assert_ne!(
        bios.machine_id, uefi.machine_id,
        "every machine has an id of its own"
    );
    assert!(
        bios.host_keys.is_disjoint(&uefi.host_keys),
        "every machine has SSH keys of its own"
    );
}

/// What tools on the host say of the image.
fn is_sound(image: &Image) {
    let env = TestEnv::new();
    let raw = env.path("disk.raw");
    let check = || -> Result<()> {
        oracle::qemu_img_check(&image.disk())?;
        let info = oracle::qemu_img_info(&image.disk())?;
        ensure!(info["virtual-size"] == 10u64 << 30, "{info}");
        oracle::to_raw(&image.disk(), &raw)?;
        let partitions = oracle::partitions(&raw)?;
        let kinds: Vec<&str> = partitions.iter().map(|part| part.kind.as_str()).collect();
        ensure!(kinds == [BIOS_BOOT, ESP, ROOT], "{partitions:?}");
        oracle::fsck_fat(&raw, &partitions[1])?;
        oracle::e2fsck(&raw, partitions[2].start)?;
        let hostname = oracle::ext4_file(&raw, partitions[2].start, "/etc/hostname")?;
        ensure!(hostname == "web1\n", "{hostname}");
        Ok(())
    };
    check().unwrap_or_else(|e| panic!("the image of Debian {}: {e:#}", image.release));
    // one that is not there would be no test of the space behind the last partition
    let verify = oracle::tool(std::process::Command::new("sgdisk").arg("-v").arg(&raw)).unwrap();
    assert!(verify.contains("No problems found"), "{verify}");
}

/// What differs from machine to machine.
struct Own {
    machine_id: String,
    host_keys: BTreeSet<String>,
}

fn look_inside(image: &Image, firmware: Firmware) -> Result<Own> {
    let mut boot = Boot::new(image.disk());
    boot.firmware = firmware;
    let start = Instant::now();
    let mut machine = Machine::start(&boot)?;
    let looked = ask(&mut machine, image, firmware);
    let (own, to_login) = looked.with_context(|| {
        let file = image.file(&format!("console-{firmware:?}.log"));
        match std::fs::write(&file, machine.transcript()) {
            Ok(()) => format!("all that the console said is in {}", file.display()),
            Err(e) => format!("the console's text cannot be kept: {e}"),
        }
    })?;
    machine.power_off()?;
    let (release, all) = (image.release, start.elapsed());
    println!(
        "Debian {release} by {firmware:?}: login prompt after {:.0} s, looked at and off after {:.0} s",
        to_login.as_secs_f32(),
        all.as_secs_f32()
    );
    Ok(own)
}

/// All questions, and when the machine asked who is there.
fn ask(machine: &mut Machine, image: &Image, firmware: Firmware) -> Result<(Own, Duration)> {
    let start = Instant::now();
    let greeting = machine.wait_for_login(LOGIN)?;
    let to_login = start.elapsed();
    ensure!(greeting.ends_with("web1"), "the prompt does not name the machine");
    machine.login("ada", "changeme")?;
    as_user(machine)?;
    machine.become_root("changeme")?;
    let state = machine.run("systemctl is-system-running --wait")?;
    let failed = machine.ask("systemctl --failed --no-legend --plain")?;
    ensure!(failed.is_empty(), "units failed:\n{failed}");
    ensure!(state.output == "running\n", "the system is {}", state.output);
    as_root(machine, firmware)?;
    packages(machine, &image.manifest)?;
    let own = Own {
        machine_id: machine.ask("cat /etc/machine-id")?,
        host_keys: machine
            .ask("cat /etc/ssh/ssh_host_*_key.pub")?
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    let is_id = own.machine_id.len() == 32 && own.machine_id.bytes().all(|b| b.is_ascii_hexdigit());
    ensure!(is_id, "the machine id is `{}`", own.machine_id);
    ensure!(own.host_keys.len() >= 2, "{:?}", own.host_keys);
    Ok((own, to_login))
}

/// Each command prints what stands beside it.
fn expect(machine: &mut Machine, answers: &[(&str, &str)]) -> Result<()> {
    for (command, expected) in answers {
        let answer = machine.run(command)?;
        ensure!(
            answer.output.trim() == *expected,
            "`{command}` (exit status {}) prints\n{}\nand not\n{expected}",
            answer.status,
            answer.output.trim()
        );
    }
    Ok(())
}

fn as_user(machine: &mut Machine) -> Result<()> {
    expect(
        machine,
        &[
            ("hostname", "web1"),
            ("cat /etc/hostname", "web1"),
            ("getent hosts web1 | sed 's/ .*//'", "127.0.1.1"),
            ("id -Gn | tr ' ' '\\n' | sort | tr '\\n' ' '", "ada sudo web"),
            ("getent group web", "web:x:2000:ada"),
            (
                "getent passwd ada | cut -d: -f5-",
                "Ada Lovelace:/home/ada:/bin/bash",
            ),
            ("stat -c '%U %G' ~", "ada ada"),
            (
                "stat -c '%n %a %U %G' ~/.ssh ~/.ssh/*",
                "/home/ada/.ssh 700 ada ada\n/home/ada/.ssh/authorized_keys 600 ada ada",
            ),
            ("cat ~/.ssh/authorized_keys", &blueprint_value("key")),
            ("echo $LANG", "en_US.UTF-8"),
            ("locale -a | grep en_US", "en_US.utf8"),
            ("readlink -f /etc/localtime", "/usr/share/zoneinfo/Europe/Berlin"),
            (
                "TZ=Europe/Berlin date -d @0 +%Z%H > /tmp/there; date -d @0 +%Z%H | diff - /tmp/there",
                "",
            ),
            (
                "cat /etc/motd",
                "Made by image-builder from samples/debian-server.toml",
            ),
            (
                "cat /srv/web/index.html",
                "<!doctype html><title>web1</title><p>It works.",
            ),
            (
                "stat -c '%a %U %G' /srv/web /srv/web/index.html /etc/motd",
                "2775 root web\n644 root web\n644 root root",
            ),
        ],
    )
}

fn as_root(machine: &mut Machine, firmware: Firmware) -> Result<()> {
    let uefi = if firmware == Firmware::Uefi { "0" } else { "1" };
    expect(
        machine,
        &[
            ("test -d /sys/firmware/efi; echo $?", uefi),
            ("systemctl is-active nginx ssh", "active\nactive"),
            (
                "systemctl is-enabled nginx ssh apt-daily.timer",
                "enabled\nenabled\ndisabled",
            ),
            ("systemctl get-default", "multi-user.target"),
            (
                "ss -ltnH '( sport = :80 or sport = :22 )' | awk '{print $4}' | sort",
                "0.0.0.0:22\n0.0.0.0:80\n[::]:22\n[::]:80",
            ),
            ("bash -c 'head -c 8 < /dev/tcp/127.0.0.1/22'", "SSH-2.0-"),
            (
                "bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; head -n 1 <&3 | tr -d \"\\r\"'",
                "HTTP/1.1 200 OK",
            ),
            ("timedatectl show -p Timezone --value", "Europe/Berlin"),
            ("findmnt -no FSTYPE,SOURCE / | tr -s ' '", "ext4 /dev/vda3"),
            ("findmnt -no OPTIONS / | grep -o '^rw,'", "rw,"),
            ("findmnt --verify >/dev/null; echo $?", "0"),
            (
                "test $(df -B1 --output=size / | tail -n 1) -ge $((4 << 30)); echo $?",
                "0",
            ),
            (
                "tune2fs -l $(findmnt -no SOURCE /) | grep '^Filesystem state'",
                "Filesystem state:         clean",
            ),
            ("journalctl -kb | grep 'EXT4-fs \\(error\\|warning\\)'", ""),
            ("dpkg --audit", ""),
        ],
    )
}

/// The installed packages are those that the manifest pins for the system, in just these versions.
fn packages(machine: &mut Machine, manifest: &Value) -> Result<()> {
    let answer =
        machine.ask("dpkg-query -W -f '${Package}_${Version}_${Architecture} ${db:Status-Abbrev}\\n'")?;
    let installed: BTreeSet<String> = answer
        .lines()
        .map(|line| {
            let (name, version) = line.trim().split_once('_').unwrap_or((line, ""));
            // file names are without the epoch
            let version = version.split_once(':').map_or(version, |(_, rest)| rest);
            format!("{name}_{version}")
        })
        .collect();
    let pinned = pinned(manifest).context("the manifest pins no packages")?;
    let missing: Vec<_> = pinned.difference(&installed).collect();
    let unasked: Vec<_> = installed.difference(&pinned).collect();
    ensure!(
        missing.is_empty() && unasked.is_empty(),
        "pinned, but not installed: {missing:?}; installed, but not pinned: {unasked:?}"
    );
    Ok(())
}

/// `NAME_VERSION_ARCHITECTURE ii` of all packages of the system.
fn pinned(manifest: &Value) -> Option<BTreeSet<String>> {
    let items = &manifest["sources"]["org.osbuild.librepo"]["items"];
    let pipelines = manifest["pipelines"].as_array()?;
    let os = pipelines.iter().find(|pipeline| pipeline["name"] == "os")?;
    let references = os["stages"][0]["inputs"]["packages"]["references"].as_array()?;
    let name = |reference: &Value| {
        let path = items[reference.as_str()?]["path"].as_str()?;
        let file = path.rsplit('/').next()?.strip_suffix(".deb")?;
        Some(format!(
            "{} ii",
            file.replace("%3a", ":").replace("%2b", "+").replace("%7e", "~")
        ))
    };
    references.iter().map(name).collect()
}

/// The text of the first `KEY = "…"` in the blueprint.
fn blueprint_value(key: &str) -> String {
    let text = include_str!("../samples/debian-server.toml");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.unwrap_or_default().trim_end_matches('"').to_owned()
}
