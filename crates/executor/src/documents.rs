//! Result documents, as callers of the Python osbuild parse them (its version 191).

use manifest::{Manifest, Pipeline, Version};
use serde_json::{Map, Value, json};
use store::Store;

use crate::Result;
use crate::report::{Failure, PipelineReport, Report, StageReport};

/// The document that `--json` prints: the Python osbuild's, and behind its members our `statistics` and `sandbox`.
pub fn result_document(manifest: &Manifest, report: &Report) -> Value {
    let mut document = match manifest.version {
        Version::One => version_1(manifest, report),
        Version::Two => version_2(report),
    };
    document["statistics"] = statistics(report);
    document["sandbox"] = sandbox(report);
    document
}

/// What the boxes of this run were held by.
fn sandbox(report: &Report) -> Value {
    let limits = report.boundary.limits.as_ref().map(|kept| {
        let by = if kept.group {
            "control group"
        } else {
            "resource limit"
        };
        let limits = kept.limits;
        json!({"by": by, "memory": limits.memory, "processes": limits.processes, "cpus": limits.cpus})
    });
    let missing: Vec<&str> = report.boundary.missing.iter().map(|guard| guard.name()).collect();
    let root = report.boundary.root.map(sandbox::Root::name);
    json!({"limits": limits, "missing": missing, "root": root})
}

/// What the stages took, by their ids. Callers pass over a member they do not know; `stages` would be one that they
/// know, from format 1.
fn statistics(report: &Report) -> Value {
    let stages = report.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
    let mut all = Map::new();
    for stage in stages.filter(|stage| stage.size.is_some() || stage.ran) {
        // of pipelines that are the same by two names, the first one ran
        all.entry(&stage.id).or_insert_with(|| {
            json!({"type": stage.name, "cached": !stage.ran, "duration": stage.seconds, "size": stage.size})
        });
    }
    Value::Object(all)
}

/// Adds, to a build that went well, what the store knows of the stages of pipelines that were not wanted: the document
/// of format 2 has the metadata of every pipeline whose tree is there.
///
/// # Errors
/// The store cannot be read.
pub fn recall(manifest: &Manifest, store: &Store, report: &mut Report) -> Result<()> {
    if manifest.version == Version::One || !report.success() {
        return Ok(());
    }
    for (pipeline, built) in manifest.pipelines.iter().zip(&mut report.pipelines) {
        let Some(id) = pipeline.id().filter(|_| built.stages.is_empty()) else {
            continue;
        };
        if store.lookup(&id.to_string())?.is_none() {
            continue;
        }
        for stage in &pipeline.stages {
            let known = store.lookup(&stage.id.to_string())?;
            if let Some(metadata) = known.and_then(|(_, record)| record.metadata) {
                built.stages.push(StageReport {
                    metadata: Some(metadata),
                    ..StageReport::cached(stage)
                });
            }
        }
    }
    Ok(())
}

fn version_2(report: &Report) -> Value {
    let sources = sources(report);
    let log = log(report);
    match &report.failure {
        None => json!({
            "type": "result", "success": true, "metadata": metadata(report), "sources": sources, "log": log,
        }),
        Some(failure) => json!({
            "type": "error", "success": false, "error": failure_of(failure, report), "sources": sources, "log": log,
        }),
    }
}

/// The `error` of a failed build.
pub fn failure_of(failure: &Failure, report: &Report) -> Value {
    match failure {
        Failure::Source { kind, error, .. } => json!({
            "type": "org.osbuild.error.source",
            "details": {"source": {"type": kind, "output": error}},
        }),
        Failure::Stage { name, id, .. } => {
            let stages = report.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
            let failed = stages
                .filter(|stage| !stage.success)
                .find(|stage| stage.id == *id);
            let output = failed.map(|stage| stage.output.clone()).unwrap_or_default();
            let error = failed.and_then(|stage| stage.error.clone());
            json!({
                "type": "org.osbuild.error.stage",
                "details": {"stage": {"id": id, "type": name, "output": output, "error": error}},
            })
        }
    }
}

/// Per pipeline and stage type what the stages left, later ones over earlier ones.
fn metadata(report: &Report) -> Value {
    let mut all = Map::new();
    for pipeline in &report.pipelines {
        let mut types: Map<String, Value> = Map::new();
        for stage in &pipeline.stages {
            let Some(Value::Object(metadata)) = &stage.metadata else {
                continue;
            };
            let entry = types.entry(&stage.name).or_insert_with(|| json!({}));
            if let Some(entry) = entry.as_object_mut() {
                entry.extend(metadata.clone());
            }
        }
        if !types.is_empty() {
            all.insert(pipeline.name.clone(), Value::Object(types));
        }
    }
    Value::Object(all)
}

fn sources(report: &Report) -> Value {
    let success = report.sources.iter().all(crate::SourceReport::success);
    let mut all = Map::from_iter([("success".to_owned(), success.into())]);
    for source in &report.sources {
        let items = source.items.iter().map(|item| {
            let mut entry = json!({"cached": item.cached});
            // an error can be that of the whole source
            if !item.name.is_empty() {
                entry["checksum"] = item.name.clone().into();
            }
            if !item.error.is_empty() {
                entry["error"] = item.error.clone().into();
            }
            entry
        });
        all.insert(source.kind.clone(), items.collect());
    }
    Value::Object(all)
}

/// The stages that ran in this build, per pipeline. A pipeline that is the same as another one, by another name, shows
/// what ran there.
fn log(report: &Report) -> Value {
    let ran = |pipeline: &PipelineReport| -> Vec<Value> {
        let ran = pipeline.stages.iter().filter(|stage| stage.ran);
        ran.map(log_entry).collect()
    };
    let mut all = Map::new();
    for pipeline in &report.pipelines {
        let twins = report
            .pipelines
            .iter()
            .filter(|other| pipeline.id.is_some() && other.id == pipeline.id);
        let ran = std::iter::once(pipeline)
            .chain(twins)
            .map(ran)
            .find(|ran| !ran.is_empty())
            .unwrap_or_default();
        if !ran.is_empty() {
            all.insert(pipeline.name.clone(), ran.into());
        }
    }
    Value::Object(all)
}

fn log_entry(stage: &StageReport) -> Value {
    let mut entry = json!({"id": stage.id, "type": stage.name, "output": stage.output});
    if !stage.success {
        entry["success"] = false.into();
        if let Some(error) = &stage.error {
            entry["error"] = error.clone();
        }
    }
    entry
}

fn version_1(manifest: &Manifest, report: &Report) -> Value {
    let find = |name: &str| {
        let pair = manifest.pipelines.iter().zip(&report.pipelines);
        pair.into_iter().find(|(pipeline, _)| pipeline.name == name)
    };
    let mut document = match find("tree") {
        Some((pipeline, built)) => nested(manifest, report, pipeline, built),
        None => json!({}),
    };
    if let Some((_, assembler)) = find("assembler")
        && let Some(stage) = assembler.stages.first()
    {
        document["assembler"] = entry_1(stage, assembler.object.is_some());
    }
    document["success"] = report.success().into();
    document
}

fn nested(manifest: &Manifest, report: &Report, pipeline: &Pipeline, built: &PipelineReport) -> Value {
    let success = built.stages.iter().all(|stage| stage.success)
        && report.sources.iter().all(crate::SourceReport::success);
    let mut document = json!({"success": success});
    if let Some(index) = pipeline
        .build
        .filter(|index| !manifest.pipelines[*index].stages.is_empty())
    {
        document["build"] = nested(
            manifest,
            report,
            &manifest.pipelines[index],
            &report.pipelines[index],
        );
    }
    let ran: Vec<Value> = built
        .stages
        .iter()
        .filter(|stage| stage.ran)
        .map(|stage| entry_1(stage, built.object.is_some()))
        .collect();
    if !ran.is_empty() {
        document["stages"] = ran.into();
    }
    document
}

fn entry_1(stage: &StageReport, kept: bool) -> Value {
    json!({
        "id": stage.id, "type": stage.name, "success": stage.success, "error": stage.error, "output": stage.output,
        "metadata": if kept { stage.metadata.clone() } else { None },
    })
}
