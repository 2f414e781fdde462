//! Two pipelines that do not need each other, and the same one after the other.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, remove};
use super::debian::Packages;
use super::outcome::Outcome;
use super::series::Series;

/// Stages of each pipeline of small stages.
const STAGES: u32 = 200;

/// Stages of each pipeline that computes, after the one that makes the file they read, and its size.
const SUMS: u32 = 24;
const SIZE: &str = "64MiB";

/// What both pipelines give.
const LAST: &str = "both";

/// Two pipelines whose stages wait for each other, two whose stages use one processor as much as they can, then two whose
/// one stage can use all of them by itself.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let mut outcomes = configured(bench)?;
    outcomes.extend(computed(bench)?);
    outcomes.extend(installed(bench)?);
    Ok(outcomes)
}

/// Configures two trees, by one small stage after the other.
fn configured(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let dir = bench.dir("jobs")?;
    let twin = |name: &str| {
        let stage = |number| json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": format!("/{name}-{number}")}]}});
        let stages: Vec<Value> = (0..STAGES).map(stage).collect();
        json!({"name": name, "stages": stages})
    };
    let last = both(&format!("left-{}", STAGES - 1), &format!("right-{}", STAGES - 1));
    let manifest = json!({"version": "2", "pipelines": [twin("left"), twin("right"), last]});
    let what = format!("two independent pipelines of {STAGES} small stages");
    let outcome = compare(bench, &manifest, &dir, what, || Ok(dir.join("store")))?;
    remove(&[&dir])?;
    Ok(vec![outcome])
}

/// Computes checksums in two trees, by one stage of one thread after the other.
fn computed(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let dir = bench.dir("jobs")?;
    let twin = |name: &str| {
        let file = json!({"type": "org.osbuild.truncate", "options": {"filename": name, "size": SIZE}});
        let sum = |number: u32| {
            let algorithm = ["sha384", "sha512"][number as usize % 2];
            json!({"type": "org.osbuild.hmac", "options": {"paths": [name], "algorithm": algorithm}})
        };
        let stages: Vec<Value> = std::iter::once(file).chain((0..SUMS).map(sum)).collect();
        json!({"name": name, "stages": stages})
    };
    let last = both(".left.hmac", ".right.hmac");
    let manifest = json!({"version": "2", "pipelines": [twin("left"), twin("right"), last]});
    let what = format!("two independent pipelines of {SUMS} stages that compute on one processor");
    let outcome = compare(bench, &manifest, &dir, what, || Ok(dir.join("store")))?;
    remove(&[&dir])?;
    Ok(vec![outcome])
}

/// Installs the packages of a Debian twice.
fn installed(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let Some(packages) = Packages::get(bench, "samples/debian-minimal.toml")? else {
        return Ok(Vec::new());
    };
    let mut manifest = packages.manifest.clone();
    let Some(all) = manifest["pipelines"].as_array_mut() else {
        return Ok(Vec::new());
    };
    let Some(os) = all.iter().find(|pipeline| pipeline["name"] == "os").cloned() else {
        return Ok(Vec::new());
    };
    let twin = |name: &str| -> Value {
        let mut pipeline = os.clone();
        pipeline["name"] = json!(name);
        if let Some(stages) = pipeline["stages"].as_array_mut() {
            // else the second one is what the first one left in the store
            stages.insert(0, json!({"type": "org.osbuild.noop", "options": {"for": name}}));
            stages.truncate(2);
        }
        pipeline
    };
    all.retain(|pipeline| pipeline["name"] == "build");
    all.extend([twin("left"), twin("right")]);
    all.push(both("etc/debian_version", "etc/debian_version"));
    let what = "two installations of Debian, each of which unpacks on all processors";
    let outcome = compare(bench, &manifest, &packages.dir, what, || packages.fresh_store())?;
    remove(&[&packages.dir])?;
    Ok(vec![outcome])
}

/// A pipeline that needs `left` and `right`, takes a path of each, and costs nothing.
fn both(left: &str, right: &str) -> Value {
    let input = |name: &str| json!({"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{name}")]});
    json!({"name": LAST, "stages": [{"type": "org.osbuild.copy",
        "inputs": {"left": input("left"), "right": input("right")},
        "options": {"paths": [{"from": format!("input://left/{left}"), "to": "tree:///left"},
            {"from": format!("input://right/{right}"), "to": "tree:///right"}]}}]})
}

/// Builds a manifest with two jobs and with one by turns, each time in a store of its own.
fn compare(
    bench: &Bench<'_>,
    manifest: &Value,
    dir: &Path,
    what: impl Into<String>,
    fresh_store: impl Fn() -> Result<PathBuf>,
) -> Result<Outcome> {
    let path = dir.join("jobs.json");
    std::fs::write(&path, manifest.to_string())?;
    let (mut parallel, mut serial) = (Series::default(), Series::default());
    for round in 0..bench.runs {
        for (jobs, series) in [("2", &mut parallel), ("1", &mut serial)] {
            let (store, out) = (fresh_store()?, dir.join("out"));
            let build = Build {
                more: &["--jobs", jobs],
                ..Build::of(&path, &store, &out, &[LAST])
            };
            series.push(bench.ours.build(&build)?.wall);
            remove(&[&store, &out])?;
        }
        say!("jobs: round {round} of {}", bench.runs);
    }
    Ok(Outcome::faster(
        "jobs",
        what,
        (parallel, "our own --jobs 1", serial),
        1.8,
    ))
}
