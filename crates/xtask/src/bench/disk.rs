//! An archive of a tree, five stages of configuration, a GPT disk with ext4, a compressed qcow2.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, Builder, remove};
use super::outcome::Outcome;
use super::payload::{self, Sizes};
use super::series::Series;

/// Bytes of the disk, and sectors before and after its partition.
const DISK: u64 = 2 << 30;
const GAP: u64 = 2048;
const UUID: &str = "d85f433f-65a4-581e-9b40-1b4574a76fe5";

/// Has foreign modules find our writer where they look for `qemu-img`.
const STAND_IN: [&str; 2] = ["--stand-in", "qemu-img"];

/// The archive that it begins with.
pub(super) const ARCHIVE: Sizes = Sizes {
    files: 13_000,
    bytes: 400 << 20,
};

#[derive(Default)]
struct Figures {
    cold: Series,
    late: Series,
}

struct Side {
    name: &'static str,
    builder: Builder,
    options: &'static [&'static str],
    figures: Figures,
}

/// Cold, then with the last stage of configuration changed; the peer, ours, and ours with the peer's modules, as they are
/// and with our writer in the place of their `qemu-img`, by turns.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let Some(peer) = &bench.peer else {
        say!("skipped: disk: there is no peer to compare with");
        return Ok(Vec::new());
    };
    let dir = bench.dir("disk")?;
    let archive = dir.join("tree.tar");
    let sizes = payload::tree_archive(&archive, ARCHIVE)?;
    say!(
        "disk: an archive of {} files, {} MiB",
        sizes.files,
        sizes.bytes >> 20
    );
    let (sources, digest) = payload::source(&archive)?;
    let mut sides = [
        ("ours", bench.ours.clone(), &[][..]),
        ("foreign", bench.ours.with_modules_of(peer), &[]),
        ("stand-in", bench.ours.with_modules_of(peer), &STAND_IN),
        ("peer", peer.clone(), &[]),
    ]
    .map(|(name, builder, options)| Side {
        name,
        builder,
        options,
        figures: Figures::default(),
    });
    for round in 0..bench.runs {
        for side in &mut sides {
            let place = dir.join(side.name);
            std::fs::create_dir_all(&place)?;
            let cold = place.join("cold.json");
            let late = place.join("late.json");
            std::fs::write(
                &cold,
                manifest(&sources, &digest, &format!("cold{round}")).to_string(),
            )?;
            std::fs::write(
                &late,
                manifest(&sources, &digest, &format!("late{round}")).to_string(),
            )?;
            let (cold, late) = (side.build(&place, &cold)?, side.build(&place, &late)?);
            say!(
                "disk: round {round}, {}: {:.2} s, then {:.2} s",
                side.name,
                cold.as_secs_f64(),
                late.as_secs_f64()
            );
            side.figures.cold.push(cold);
            side.figures.late.push(late);
            remove(&[&place])?;
        }
    }
    let [ours, foreign, stand_in, peer] = sides.map(|side| side.figures);
    let faster = |what: &str, ours: Series, theirs: &Series, target: f64| {
        Outcome::faster("disk", what, (ours, "Python osbuild", theirs.clone()), target)
    };
    Ok(vec![
        faster(
            "tree.tar → 5 stages → ext4 → qcow2, cold",
            ours.cold,
            &peer.cold,
            8.0,
        ),
        faster("the same, one late stage changed", ours.late, &peer.late, 12.0),
        faster(
            "cold, with the peer's modules under our executor",
            foreign.cold,
            &peer.cold,
            2.0,
        ),
        faster(
            "the same, one late stage changed, with the peer's modules under our executor",
            foreign.late,
            &peer.late,
            2.0,
        ),
        faster(
            "cold, with the peer's modules and our qemu-img in its place (`--stand-in qemu-img`)",
            stand_in.cold,
            &peer.cold,
            2.0,
        ),
        faster(
            "the same, one late stage changed, with the peer's modules and our qemu-img in its place",
            stand_in.late,
            &peer.late,
            2.0,
        ),
    ])
}

impl Side {
    fn build(&self, place: &Path, manifest: &Path) -> Result<std::time::Duration> {
        let (store, out): (PathBuf, PathBuf) = (place.join("store"), place.join("out"));
        let spent = self.builder.build(&Build {
            more: self.options,
            ..Build::of(manifest, &store, &out, &["qcow2"])
        })?;
        let disk = out.join("qcow2/disk.qcow2");
        ensure!(disk.exists(), "{} is missing", disk.display());
        remove(&[&out])?;
        Ok(spent.wall)
    }
}

/// The manifest, as both builders read it; `word` is in what the last stage of configuration writes.
fn manifest(sources: &Value, digest: &str, word: &str) -> Value {
    let sectors = DISK / 512 - 2 * GAP;
    let device = |more: Value| {
        let mut options = json!({"filename": "disk.img"});
        if let (Some(options), Value::Object(more)) = (options.as_object_mut(), more) {
            options.extend(more);
        }
        json!({"type": "org.osbuild.loopback", "options": options})
    };
    let part = device(json!({"start": GAP, "size": sectors, "lock": true}));
    let unlocked = device(json!({"start": GAP, "size": sectors}));
    let stage =
        |name: &str, options: Value| json!({"type": format!("org.osbuild.{name}"), "options": options});
    json!({"version": "2", "sources": sources, "pipelines": [
        {"name": "os", "stages": [
            payload::untar(digest),
            stage("mkdir", json!({"paths": [{"path": "/etc"}, {"path": "/etc/modprobe.d"}, {"path": "/srv", "mode": 0o750}]})),
            stage("fstab", json!({"filesystems": [{"uuid": UUID, "vfs_type": "ext4", "path": "/"}]})),
            stage("chmod", json!({"items": {"/etc/fstab": {"mode": "0644"}}})),
            stage("machine-id", json!({"first-boot": "yes"})),
            stage("modprobe", json!({"filename": "bench.conf", "commands": [{"command": "blacklist", "modulename": word}]})),
        ]},
        {"name": "image", "stages": [
            stage("truncate", json!({"filename": "disk.img", "size": DISK.to_string()})),
            {"type": "org.osbuild.sfdisk", "devices": {"device": device(json!({"lock": true}))}, "options": {
                "label": "gpt", "uuid": "d209c89e-ea5e-4fbd-b161-b461cce297e0",
                "partitions": [{"start": GAP, "size": sectors, "type": "0fc63daf-8483-4772-8e79-3d69d8477de4",
                    "uuid": "6264d520-3fb9-423f-8ab8-7a0a8e3d3562"}],
            }},
            {"type": "org.osbuild.mkfs.ext4", "devices": {"device": part}, "options": {"uuid": UUID, "label": "root"}},
            {"type": "org.osbuild.copy", "devices": {"disk": unlocked},
             "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "disk", "target": "/"}],
             "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:os"]}},
             "options": {"paths": [{"from": "input://tree/", "to": "mount://root/"}]}},
        ]},
        {"name": "qcow2", "stages": [{"type": "org.osbuild.qemu",
            "inputs": {"image": {"type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
                "references": {"name:image": {"file": "disk.img"}}}},
            "options": {"filename": "disk.qcow2", "format": {"type": "qcow2"}}}]},
    ]})
}
