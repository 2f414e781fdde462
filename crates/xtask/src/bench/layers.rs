//! What it costs to keep the tree of every stage.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, remove};
use super::disk::ARCHIVE;
use super::outcome::{Outcome, Unit};
use super::payload;
use super::series::Series;

/// Small stages on top of the tree.
const SMALL: u32 = 10;

/// Space and time of [`SMALL`] small stages on a tree of 13,000 files.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let dir = bench.dir("layers")?;
    let archive = dir.join("tree.tar");
    payload::tree_archive(&archive, ARCHIVE)?;
    let (sources, digest) = payload::source(&archive)?;
    let (store, out) = (dir.join("store"), dir.join("out"));
    let manifest = dir.join("manifest.json");
    let (mut each, mut part) = (Series::default(), Series::default());
    for round in 0..=bench.runs {
        // the large tree is there already, and so is what a run costs without a stage
        let stages = |count: u32| -> Vec<Value> {
            let small = |number| json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": format!("/r{round}-{number}")}]}});
            std::iter::once(payload::untar(&digest))
                .chain((0..count).map(small))
                .collect()
        };
        let run = |count| -> Result<f64> {
            // a pipeline that needs the tree and exports next to nothing
            let probe = json!({"type": "org.osbuild.copy",
                "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]}},
                "options": {"paths": [{"from": format!("input://tree/r{round}-0"), "to": "tree:///probe"}]}});
            let pipelines =
                json!([{"name": "tree", "stages": stages(count)}, {"name": "probe", "stages": [probe]}]);
            let text = json!({"version": "2", "sources": sources, "pipelines": pipelines});
            std::fs::write(&manifest, text.to_string())?;
            let time = bench
                .ours
                .build(&Build::of(&manifest, &store, &out, &["probe"]))?
                .wall;
            remove(&[&out])?;
            Ok(time.as_secs_f64())
        };
        if round == 0 {
            run(1)?;
            continue;
        }
        // one stage that is new, then so many of them
        let (few, many) = (run(1)?, run(1 + SMALL)?);
        each.push_value((many - few) * 1000.0 / f64::from(SMALL - 1));
        say!("layers: round {round} of {}", bench.runs);
        if round == 1 {
            bench.ours.build(&Build::of(&manifest, &store, &out, &["tree"]))?;
            part.push_value(taken(&store.join("objects"))? as f64 / taken(&out.join("tree"))? as f64);
            remove(&[&out])?;
        }
    }
    remove(&[&dir])?;
    Ok(vec![
        Outcome::at_most(
            "layers",
            "a small stage on a tree of 13,000 files",
            each,
            Unit::Milliseconds,
            30.0,
        ),
        Outcome::at_most(
            "layers",
            "store with every stage of it, of the tree's size",
            part,
            Unit::Part,
            1.05,
        ),
    ])
}

/// The space of all files below a directory.
fn taken(dir: &Path) -> Result<u64> {
    let mut command = crate::privilege::as_root("du");
    let output = command
        .args(["--summarize", "--block-size=1", "--"])
        .arg(dir)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().next().unwrap_or_default();
    Ok(number.parse()?)
}
