//! Two pipelines that do not need each other, and the same one after the other.

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, remove};
use super::debian::Packages;
use super::outcome::Outcome;
use super::series::Series;

/// Installs the packages of a Debian twice.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
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
    // what needs both of them, and costs nothing
    let input = |name: &str| json!({"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{name}")]});
    all.push(json!({"name": "both", "stages": [{"type": "org.osbuild.copy",
        "inputs": {"left": input("left"), "right": input("right")},
        "options": {"paths": [{"from": "input://left/etc/debian_version", "to": "tree:///left"},
            {"from": "input://right/etc/debian_version", "to": "tree:///right"}]}}]}));
    let path = packages.dir.join("jobs.json");
    std::fs::write(&path, manifest.to_string())?;
    let (mut parallel, mut serial) = (Series::default(), Series::default());
    for round in 0..bench.runs {
        for (jobs, series) in [("2", &mut parallel), ("1", &mut serial)] {
            let (store, out) = (packages.fresh_store()?, packages.dir.join("out"));
            let build = Build {
                more: &["--jobs", jobs],
                ..Build::of(&path, &store, &out, &["both"])
            };
            series.push(bench.ours.build(&build)?.wall);
            remove(&[&store, &out])?;
        }
        say!("jobs: round {round} of {}", bench.runs);
    }
    remove(&[&packages.dir])?;
    Ok(vec![Outcome::faster(
        "jobs",
        "two independent pipelines",
        (parallel, "our own --jobs 1", serial),
        1.8,
    )])
}
