//! Ten times the files: every step may take no more than twelve times as long.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, remove};
use super::outcome::{Outcome, Unit};
use super::payload::{self, Sizes};
use super::series::Series;

/// Of a file: 300,000 of them are 8 GB.
const BYTES: u64 = 27_000;
const STAGES: u32 = 200;
/// A pipeline that needs the tree and takes one file of it.
const PROBE: &str = "probe";

/// The steps, in seconds, and the memory of the executor in MiB.
struct Steps {
    unpack: f64,
    stages: f64,
    cached: f64,
    export: f64,
    memory: f64,
}

/// A tree of `bench.scale` files and one of a tenth of that.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let (small_dir, large_dir) = (bench.dir("scale-small")?, bench.dir("scale-large")?);
    let small = steps(bench, bench.scale / 10, &small_dir)?;
    let large = steps(bench, bench.scale, &large_dir)?;
    // not before: without a journal ext4 takes long to find a free inode where many were freed just now
    remove(&[&small_dir, &large_dir])?;
    let files = bench.scale;
    let mut outcomes = Vec::new();
    for (step, small, large) in [
        ("fetched and unpacked", small.unpack, large.unpack),
        ("200 more stages", small.stages, large.stages),
        ("cached", small.cached, large.cached),
        ("exported", small.export, large.export),
    ] {
        say!("scale: {step}: {small:.2} s, {large:.2} s");
        let what = format!("{files} files to {}: {step}", files / 10);
        outcomes.push(Outcome::at_most(
            "scale",
            what,
            Series::of(large / small),
            Unit::Growth,
            12.0,
        ));
    }
    let what = format!("memory of the executor, {files} files");
    outcomes.push(Outcome::at_most(
        "scale",
        what,
        Series::of(large.memory),
        Unit::Mebibytes,
        150.0,
    ));
    Ok(outcomes)
}

fn steps(bench: &Bench<'_>, files: u64, dir: &Path) -> Result<Steps> {
    let archive = dir.join("tree.tar");
    let bytes = files * BYTES;
    payload::noise_archive(&archive, Sizes { files, bytes })?;
    let (sources, digest) = payload::source(&archive)?;
    let (store, out, manifest) = (dir.join("store"), dir.join("out"), dir.join("manifest.json"));
    let mut memory = 0;
    let mut run = |count: u32, export: &str| -> Result<f64> {
        let small = |number| json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": format!("/r{number}")}]}});
        let stages: Vec<Value> = std::iter::once(payload::untar(&digest))
            .chain((0..count).map(small))
            .collect();
        let probe = json!({"type": "org.osbuild.copy",
            "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]}},
            "options": {"paths": [{"from": "input://tree/srv/0000/0", "to": "tree:///probe"}]}});
        let pipelines = json!([{"name": "tree", "stages": stages}, {"name": PROBE, "stages": [probe]}]);
        std::fs::write(
            &manifest,
            json!({"version": "2", "sources": sources, "pipelines": pipelines}).to_string(),
        )?;
        let exports = [export];
        let build = Build {
            watched: true,
            more: &["--cache-max-size", "unlimited"],
            ..Build::of(&manifest, &store, &out, &exports)
        };
        let spent = bench.ours.build(&build)?;
        memory = memory.max(spent.memory);
        if export == PROBE {
            remove(&[&out])?;
        }
        Ok(spent.wall.as_secs_f64())
    };
    let unpack = run(0, PROBE)?;
    let stages = run(STAGES, PROBE)?;
    let cached = run(STAGES, PROBE)?;
    let export = run(STAGES, "tree")? - cached;
    Ok(Steps {
        unpack,
        stages,
        cached,
        export,
        memory: memory as f64 / f64::from(1 << 20),
    })
}
