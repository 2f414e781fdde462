//! The power is cut.
//!
//! The store lies on an ext4 file system of its own, which the shutdown request of its driver stops at a random moment: what is
//! in memory and was not written, data and journal, is gone, as when the machine goes down. What is left is checked by
//! e2fsck, mounted, and taken for a store found after another start of the machine. What this does not show: a disk that
//! has lost or reordered what it had accepted before it was told to flush.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scene::LIMIT;
use super::{Counts, Odds, Scene};
use crate::{SmallDisk, ends_within, oracle};

/// How the file system is mounted: with these its journal is written often and data late, which loses most.
const OPTIONS: [&str; 4] = [
    "commit=1",
    "commit=1,noauto_da_alloc",
    "commit=1,data=writeback,noauto_da_alloc",
    "commit=300",
];

/// The size of the file system, in MiB.
const SIZE: u64 = 96;

/// Cuts the power while builders work, and looks what is left.
///
/// # Panics
/// The file system cannot be had; or something damaged is used, or stays.
pub fn cut(scene: &Scene, odds: &mut Odds, counts: &mut Counts) {
    let options = *odds.of(&OPTIONS);
    let (dir, image) = (scene.env.path("disk"), scene.env.path("disk.img"));
    let disk = must(SmallDisk::ext4_with(&dir, &image, SIZE, options));
    let store = dir.join("store");
    if odds.below(2) == 0 {
        scene.copy_seed(&store);
    }
    if odds.below(2) == 0 {
        must(oracle::tool(Command::new("sync").arg("-f").arg(&dir)));
    }
    // half of the cuts come while something is fetched, which is over soon
    let after = match odds.below(2) {
        0 => odds.time(scene.time),
        _ => odds.time(scene.time * 2 + Duration::from_millis(1500)),
    };
    work(scene, &dir, after);
    let before = trees(&dir.join("store"));
    drop(disk);
    let what = format!("power cut after {after:?} ({options})");
    // somebody who has just copied the mounts may still hold the file system that is down
    let image = copied(scene, &image);
    repair(&image);
    let disk = must(SmallDisk::again(&dir, &image, "defaults"));
    start_again(&dir.join("store"));
    let gone = before.saturating_sub(trees(&dir.join("store")));
    let damaged = damaged(scene, &what);
    println!("{what}: {before} trees before, {gone} gone, {damaged} damaged");
    counts.lost += gone + damaged;
    scene.again(&what, "disk/store", "disk/again");
    // what nobody asked for since is still as it was found
    let repair = ["store", "fsck", "--deep", "--repair", "--store", "disk/store"];
    let repaired = scene.env.osbuild(repair);
    assert!(repaired.code < 2, "{what}: {repaired}");
    scene.is_good(&what, "disk/store", "disk/again");
    counts.power_cuts += 1;
    drop(disk);
    let _ = fs::remove_file(image);
}

/// Builds one thing after the other until the power goes: each has two stages that the others do not have.
fn work(scene: &Scene, dir: &Path, after: Duration) {
    let text = must(fs::read_to_string(scene.env.path("manifest.json")));
    let end = Instant::now() + after;
    let mut child: Option<Child> = None;
    for number in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let other = text.replace("\"after\"", &format!("\"after-{number}\""));
        scene.env.write("other.json", other);
        let mut command = scene.env.command(scene.env.binaries().osbuild());
        command.args(["-q", "--store", "disk/store", "-o", "disk/out", "other.json"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut builder = must(command.spawn());
        if !ends_within(&builder, left) {
            child = Some(builder);
            break;
        }
        let _ = builder.wait();
    }
    must(oracle::tool(
        Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(dir),
    ));
    if let Some(mut child) = child {
        let _ = child.kill();
        assert!(ends_within(&child, LIMIT), "a process that was killed stays");
        let _ = child.wait();
    }
}

/// How many objects are there to be seen.
fn trees(store: &Path) -> usize {
    fs::read_dir(store.join("objects")).map_or(0, Iterator::count)
}

/// A copy of the image, in its place.
fn copied(scene: &Scene, image: &Path) -> PathBuf {
    let copy = scene.env.path("found.img");
    must(oracle::tool(
        Command::new("cp").arg("--sparse=always").args([image, &copy]),
    ));
    must(fs::remove_file(image));
    copy
}

/// Plays the journal back, and sees that nothing else is wrong.
fn repair(image: &Path) {
    must(oracle::tool(
        Command::new("sh")
            .args(["-c", "e2fsck -fy \"$0\" || [ $? = 1 ]"])
            .arg(image),
    ));
}

/// Objects that are not known to be on disk are now of another start of the machine.
fn start_again(store: &Path) {
    for entry in fs::read_dir(store.join("objects"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path().join("info");
        let info = fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if let Some(mut info) = info.filter(|info| info["boot"].is_string()) {
            info["boot"] = "an earlier one".into();
            must(fs::write(&path, info.to_string()));
        }
    }
}

/// How many trees are damaged. Those that were known to be on disk are not.
fn damaged(scene: &Scene, what: &str) -> usize {
    let objects = scene.env.path("disk/store/objects");
    if !objects.exists() {
        return 0;
    }
    let check = scene
        .env
        .osbuild(["store", "fsck", "--deep", "--json", "--store", "disk/store"]);
    assert!(check.code < 2, "{what}: {check}");
    let damage = check.json()["damage"].as_array().cloned().unwrap_or_default();
    let mut trees = 0;
    for one in damage {
        let (Some("tree"), Some(tree)) = (one["kind"].as_str(), one["name"].as_str()) else {
            continue;
        };
        trees += 1;
        // a file that was not on disk may be found with its length and without its content
        let durable = fs::read(objects.join(tree).join("info"))
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
            .is_some_and(|info| info.get("boot").is_none());
        assert!(
            !durable,
            "{what}: it was taken for durable, and is damaged: {one}"
        );
    }
    trees
}

fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e:?}"))
}
