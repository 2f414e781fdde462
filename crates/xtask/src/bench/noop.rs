//! What is left when the stages do nothing, and what a cached run costs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::builder::{Build, Builder, remove};
use super::outcome::{Outcome, Unit};
use super::series::Series;

/// Size of the file in the tree that is exported from the cache.
const EXPORTED: u64 = 160 << 20;

#[derive(Default)]
struct Figures {
    fresh: Series,
    /// Milliseconds of processor time a stage.
    cpu: Series,
    cached: Series,
    export: Series,
}

/// One builder with its directory.
struct Side<'b> {
    builder: &'b Builder,
    dir: PathBuf,
    figures: Figures,
}

/// Ten stages fresh, the same cached, and a cached tree with an image in it.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let dir = bench.dir("noop")?;
    let image = write_image(&dir)?;
    std::fs::write(dir.join("noop.json"), ten_stages().to_string())?;
    std::fs::write(dir.join("image.json"), image.to_string())?;
    let mut sides = Vec::new();
    for (name, builder) in [("ours", Some(&bench.ours)), ("peer", bench.peer.as_ref())] {
        if let Some(builder) = builder {
            let dir = dir.join(name);
            std::fs::create_dir(&dir)?;
            let side = Side {
                builder,
                dir,
                figures: Figures::default(),
            };
            for manifest in ["noop.json", "image.json"] {
                side.build(manifest, "kept", true)?;
            }
            sides.push(side);
        }
    }
    for round in 0..=bench.runs {
        for side in &mut sides {
            side.round(round > 0)?;
        }
        say!("no-op: round {round} of {}", bench.runs);
    }
    let mut sides = sides.into_iter().map(|side| side.figures);
    let ours = sides.next().unwrap_or_default();
    let cpu = Outcome::at_most(
        "noop",
        "processor time of a no-op stage",
        ours.cpu,
        Unit::Milliseconds,
        4.0,
    );
    let mut outcomes = vec![cpu];
    if let Some(peer) = sides.next() {
        for (what, ours, theirs, target) in [
            ("ten no-op stages", ours.fresh, peer.fresh, 60.0),
            ("ten no-op stages, cached", ours.cached, peer.cached, 20.0),
            ("cached, 160 MiB to export", ours.export, peer.export, 8.0),
        ] {
            outcomes.push(Outcome::faster(
                "noop",
                what,
                (ours, "Python osbuild", theirs),
                target,
            ));
        }
    }
    Ok(outcomes)
}

impl Side<'_> {
    fn round(&mut self, counts: bool) -> Result<()> {
        let fresh = self.build("noop.json", "fresh", false)?;
        let cached = self.build("noop.json", "kept", true)?;
        let export = self.build("image.json", "kept", true)?;
        if counts {
            let figures = &mut self.figures;
            figures.fresh.push(fresh.wall);
            figures.cpu.push_value(fresh.cpu.as_secs_f64() * 1000.0 / 10.0);
            figures.cached.push(cached.wall);
            figures.export.push(export.wall);
        }
        Ok(())
    }

    fn build(&self, manifest: &str, store: &str, keep: bool) -> Result<super::spent::Spent> {
        let (store, out) = (self.dir.join(store), self.dir.join("out"));
        let manifest = self.dir.with_file_name(manifest);
        let build = Build {
            keep,
            ..Build::of(&manifest, &store, &out, &["tree"])
        };
        let spent = self.builder.build(&build)?;
        remove(&[&out])?;
        if !keep {
            remove(&[&store])?;
        }
        Ok(spent)
    }
}

fn ten_stages() -> Value {
    let stage = |number| json!({"type": "org.osbuild.noop", "options": {"number": number}});
    let stages: Vec<_> = (0..10).map(stage).collect();
    json!({"version": "2", "pipelines": [{"name": "tree", "stages": stages}]})
}

/// A manifest whose tree has a file of [`EXPORTED`] bytes.
fn write_image(dir: &Path) -> Result<Value> {
    let path = dir.join("disk.img");
    super::payload::write_noise(&path, EXPORTED)?;
    let (sources, digest) = super::payload::source(&path)?;
    let stage = json!({"type": "org.osbuild.copy",
        "inputs": {"file": {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [digest]}},
        "options": {"paths": [{"from": format!("input://file/{digest}"), "to": "tree:///disk.img"}]}});
    Ok(json!({"version": "2", "sources": sources, "pipelines": [{"name": "tree", "stages": [stage]}]}))
}
