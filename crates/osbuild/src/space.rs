//! Whether the disk suffices: foreseen before a build from what such stages took before, and told after one that failed for
//! want of it.

use std::collections::BTreeMap;

use executor::Failure;
use manifest::{Manifest, Stage};
use store::{Store, Stored};

use crate::plan::free;
use crate::print;
use crate::words::bytes;

/// How the tools that stages run tell of it.
const SAID: [&str; 2] = ["o space left on device", "isk quota exceeded"];

/// Warns where stages that are not in the store took more, the last time one of the same name ran, than is free.
pub(crate) fn foresee(manifest: &Manifest, pipelines: &[usize], store: &Store) {
    // of a store with thousands of stages not every record is to be read for that
    if stages_of(manifest, pipelines).all(|stage| store.has(&stage.id.to_string())) {
        return;
    }
    let (Some(free), Ok(stored)) = (free(store.path()), store.stages()) else {
        return;
    };
    let needs = needs(&missing(manifest, pipelines, &stored), &stored);
    let sum: u64 = needs.iter().map(|(_, size)| size).sum();
    if sum > free {
        print::stderr(&format!(
            "warning: {} are free for the store {}, and by what such stages took before the build needs {}: {}\n",
            bytes(free),
            store.path().display(),
            bytes(sum),
            said(&needs),
        ));
    }
}

/// Says how much is free, and what needed how much before, where a build failed for want of it.
pub(crate) fn explain(failure: &Failure, manifest: &Manifest, pipelines: &[usize], store: &Store) {
    let Some(free) = free(store.path()).filter(|_| is_for_space(failure)) else {
        return;
    };
    let stored = store.stages().unwrap_or_default();
    let needs = needs(&missing(manifest, pipelines, &stored), &stored);
    let before = match needs.is_empty() {
        true => String::new(),
        false => format!("; such stages took before: {}", said(&needs)),
    };
    print::stderr(&format!(
        "hint: {} are free for the store {} without what was begun{before}; `osbuild store du` says what takes space\n",
        bytes(free),
        store.path().display(),
    ));
}

/// The stages of these pipelines whose trees are not in the store.
fn missing<'a>(manifest: &'a Manifest, pipelines: &'a [usize], stored: &[Stored]) -> Vec<&'a Stage> {
    let is_there = |stage: &Stage| {
        let id = stage.id.to_string();
        stored.iter().any(|known| known.id == id && known.size.is_some())
    };
    stages_of(manifest, pipelines)
        .filter(|stage| !is_there(stage))
        .collect()
}

fn stages_of<'a>(manifest: &'a Manifest, pipelines: &'a [usize]) -> impl Iterator<Item = &'a Stage> {
    let pipelines = pipelines
        .iter()
        .filter_map(|index| manifest.pipelines.get(*index));
    pipelines.flat_map(|pipeline| &pipeline.stages)
}

/// What stages of these names took the last time: those of which nothing is known are left out.
fn needs<'a>(stages: &[&'a Stage], stored: &[Stored]) -> Vec<(&'a str, u64)> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    // those used last come first
    for known in stored {
        if let (Some(name), Some(size)) = (known.name.as_deref(), known.size) {
            last.entry(name).or_insert(size);
        }
    }
    let known = stages.iter().filter_map(|stage| {
        let size = last.get(stage.name.as_str())?;
        Some((stage.name.as_str(), *size))
    });
    known.collect()
}

fn is_for_space(failure: &Failure) -> bool {
    let tells = |text: &str| SAID.iter().any(|said| text.contains(said));
    match failure {
        Failure::Source { error, .. } => tells(error),
        Failure::Stage { how, tail, .. } => tells(&how.to_string()) || tail.iter().any(|line| tells(line)),
    }
}

fn said(needs: &[(&str, u64)]) -> String {
    let each = needs
        .iter()
        .map(|(name, size)| format!("{name} {}", bytes(*size)));
    each.collect::<Vec<_>>().join(", ")
}
