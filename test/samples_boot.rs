//! The samples of other disks boot: one in one step, UKI and systemd-boot, xfs, btrfs, a live ISO, OSTree. So does a tree of RPM packages.
//!
//! They share one store: packages are downloaded once, and what the trees have in common is built once.

mod rpm;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tests::qemu::{Boot, Firmware, LOGIN, Machine};
use tests::{Binaries, left_behind, need, repository, run};

use crate::debian::share_sources;

/// To download and build, on a computer that others keep busy.
const LIMIT: Duration = Duration::from_secs(1800);

#[test]
fn a_unified_kernel_image_by_systemd_boot() {
    let Some(place) = Place::get("disks with a unified kernel image") else {
        return;
    };
    let image = place.build("debian-uki").join("disk.qcow2");
    boots(
        &image,
        Firmware::Uefi,
        &[
            ("findmnt -no FSTYPE /", "ext4"),
            ("findmnt -no FSTYPE /efi", "vfat"),
            (
                "find /efi -type f | sort",
                "/efi/EFI/BOOT/BOOTX64.EFI\n/efi/EFI/Linux/debian.efi\n/efi/EFI/systemd/systemd-bootx64.efi\n/efi/loader/entries.srel\n/efi/loader/loader.conf",
            ),
            // said by the boot loader, and by the stub in the image
            (
                "ls /sys/firmware/efi/efivars | grep -oE '^(LoaderInfo|StubInfo)' | sort",
                "LoaderInfo\nStubInfo",
            ),
        ],
    );
}

#[test]
fn a_disk_in_one_step_by_bios_and_uefi() {
    let Some(place) = Place::get("disks in one step") else {
        return;
    };
    let image = place.build("debian-disk").join("debian.qcow2");
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        boots(
            &image,
            firmware,
            &[
                ("findmnt -rno FSTYPE,LABEL /", "ext4 root"),
                ("findmnt -rno FSTYPE,LABEL /var", "ext4 var"),
                ("findmnt -rno FSTYPE,LABEL /boot/efi", "vfat ESP"),
                (
                    "findmnt -no OPTIONS /var | grep -o 'nosuid,nodev'",
                    "nosuid,nodev",
                ),
                ("swapon --show=TYPE --noheadings", "partition"),
                ("systemctl is-active ssh", "active"),
            ],
        );
    }
}

#[test]
fn a_root_on_xfs() {
    if let Some(place) = Place::get("disks with xfs").filter(|_| has_kernel("xfs")) {
        let image = place.build("debian-xfs").join("disk.qcow2");
        boots(&image, Firmware::Bios, &[("findmnt -no FSTYPE /", "xfs")]);
    }
}

#[test]
fn a_root_on_btrfs() {
    if let Some(place) = Place::get("disks with btrfs").filter(|_| has_kernel("btrfs")) {
        let image = place.build("debian-btrfs").join("disk.qcow2");
        boots(&image, Firmware::Bios, &[("findmnt -no FSTYPE /", "btrfs")]);
    }
}

#[test]
fn a_live_medium_by_bios_and_uefi() {
    let Some(place) = Place::get("live media") else {
        return;
    };
    let image = place.build("debian-live").join("debian-live.iso");
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        boots(
            &image,
            firmware,
            &[
                ("findmnt -no FSTYPE /", "overlay"),
                ("touch /usr/new && echo written", "written"),
            ],
        );
    }
}

#[test]
fn a_deployment_of_ostree() {
    let Some(place) = Place::get("deployments of OSTree") else {
        return;
    };
    let image = place.build("debian-ostree").join("disk.qcow2");
    boots(
        &image,
        Firmware::Bios,
        &[
            ("test -e /run/ostree-booted && echo booted", "booted"),
            ("touch /usr/new 2>/dev/null || echo refused", "refused"),
            ("ostree admin status | grep -o '^\\* debian'", "* debian"),
            (
                "ostree fsck --repo=/ostree/repo >/dev/null && echo sound",
                "sound",
            ),
            ("dpkg-query -W -f '${Status}' ostree-boot", "install ok installed"),
        ],
    );
}

/// Whether this machine mounts such a file system, to fill it: Debian's tools are too old to do so without; says so.
fn has_kernel(kind: &str) -> bool {
    // what is a module is not listed before it is loaded
    let _ = Command::new("modprobe").args(["--quiet", kind]).status();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let has = known.contains(kind) && Path::new("/dev/loop-control").exists();
    if !has {
        eprintln!("skipped, as this machine cannot mount {kind}: its root");
    }
    has
}

/// Boots it, asks each question, and powers it off. Nothing in it has failed.
#[track_caller]
fn boots(image: &Path, firmware: Firmware, questions: &[(&str, &str)]) {
    let mut boot = Boot::new(image);
    boot.firmware = firmware;
    let start = Instant::now();
    let look = || -> Result<Duration> {
        let mut machine = Machine::start(&boot)?;
        let looked = ask(&mut machine, firmware, questions);
        looked.with_context(|| format!("the console said\n{}", machine.transcript()))?;
        let asked = start.elapsed();
        machine.power_off()?;
        Ok(asked)
    };
    let asked = look().unwrap_or_else(|e| panic!("{} by {firmware:?}: {e:#}", image.display()));
    println!(
        "{} by {firmware:?}: asked all after {:.0} s, off after {:.0} s",
        image.display(),
        asked.as_secs_f32(),
        start.elapsed().as_secs_f32()
    );
}

fn ask(machine: &mut Machine, firmware: Firmware, questions: &[(&str, &str)]) -> Result<()> {
    machine.wait_for_login(LOGIN)?;
    machine.login("root", "changeme")?;
    machine.run("systemctl is-system-running --wait")?;
    let by = if firmware == Firmware::Uefi {
        "uefi"
    } else {
        "bios"
    };
    let fixed = [
        ("systemctl --failed --no-legend --plain --no-pager", ""),
        ("test -d /sys/firmware/efi && echo uefi || echo bios", by),
    ];
    for (question, expected) in fixed.iter().chain(questions) {
        let answer = machine.run(question)?;
        ensure!(
            answer.output.trim() == *expected,
            "`{question}` answers\n{}\nand not\n{expected}",
            answer.output.trim()
        );
    }
    Ok(())
}

/// A directory with one store for all samples.
struct Place {
    dir: PathBuf,
    _lock: File,
}

impl Place {
    /// The place, empty when first asked for; `None` says that `what` is skipped.
    fn get(what: &str) -> Option<&'static Self> {
        static PLACE: OnceLock<Place> = OnceLock::new();
        let can = need::root(what) && need::tools(&["qemu-system-x86_64"], what);
        can.then(|| PLACE.get_or_init(Self::make))
    }

    fn make() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples");
        fs::create_dir_all(&dir).unwrap();
        let lock = File::create(dir.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        for name in ["store", "out", "tmp"] {
            if dir.join(name).exists() {
                fs::remove_dir_all(dir.join(name)).unwrap();
            }
            fs::create_dir(dir.join(name)).unwrap();
        }
        share_sources(&dir.join("store"));
        Self { dir, _lock: lock }
    }

    /// Pins a sample and builds its last pipeline, `image`: the directory with what came of it.
    fn build(&self, sample: &str) -> PathBuf {
        let manifest = self.pinned(sample);
        self.export(sample, &manifest, "image")
    }

    /// The sample with its packages pinned.
    fn pinned(&self, sample: &str) -> Value {
        let file = repository().join("samples").join(format!("{sample}.json"));
        let mut command = self.command(Binaries::find().unwrap().image_builder());
        command.arg("resolve").arg(file);
        command.arg("--cache").arg(self.dir.with_file_name("lists"));
        run(&mut command, b"", LIMIT).expect(0).json()
    }

    fn export(&self, name: &str, manifest: &Value, pipeline: &str) -> PathBuf {
        // one builds at a time: two would only hinder each other
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let out = self.dir.join("out").join(name);
        let mut command = self.command(Binaries::find().unwrap().osbuild());
        command.args(["-", "--store", "store", "--export", pipeline, "--output"]);
        let built = run(command.arg(&out), manifest.to_string().as_bytes(), LIMIT).expect(0);
        println!("{name}: built in {:.0} s", built.time.as_secs_f32());
        // not its results, which other tests may be booting
        for place in ["store", "tmp"] {
            assert_eq!(left_behind(&self.dir.join(place)), Vec::<String>::new());
        }
        out.join(pipeline)
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("TMPDIR", self.dir.join("tmp"));
        command
    }
}
