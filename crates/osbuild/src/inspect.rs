//! `--inspect`: the manifest with all its ids, as the Python osbuild writes it. What it leaves out is left out here:
//! the `source-epoch`, the parents of devices, the options of sources.

use executor::Library;
use manifest::{Device, Input, Manifest, Mount, Origin, Pipeline, Stage, Version};
use serde_json::{Map, Value, json};

/// The document.
pub(crate) fn document(manifest: &Manifest, library: &Library) -> Value {
    match manifest.version {
        Version::One => version_1(manifest, library),
        Version::Two => version_2(manifest, library),
    }
}

fn version_2(manifest: &Manifest, library: &Library) -> Value {
    let pipelines = manifest
        .pipelines
        .iter()
        .map(|p| pipeline_2(manifest, p, library));
    let mut document = json!({"version": "2", "pipelines": pipelines.collect::<Value>()});
    if let Some(metadata) = manifest.metadata.as_ref().filter(|value| !is_empty(value)) {
        document["metadata"] = metadata.clone();
    }
    let sources: Map<String, Value> = manifest
        .sources
        .iter()
        .map(|source| {
            let items: Map<String, Value> = source.items.iter().cloned().collect();
            (source.kind.clone(), json!({"items": items}))
        })
        .collect();
    set(&mut document, "sources", Value::Object(sources));
    document
}

fn pipeline_2(manifest: &Manifest, pipeline: &Pipeline, library: &Library) -> Value {
    let mut document = json!({"name": pipeline.name});
    let build = |pipeline: &Pipeline| pipeline.build.and_then(|index| manifest.pipelines[index].id());
    if let Some(id) = build(pipeline) {
        document["build"] = id.to_string().into();
    }
    // the runner belongs to those who build in this pipeline's tree
    let guest = manifest
        .pipelines
        .iter()
        .rev()
        .find(|other| pipeline.id().is_some() && build(other) == pipeline.id());
    if let Some(guest) = guest {
        document["runner"] = library.runner(guest.runner.as_deref()).0.into();
    }
    set(
        &mut document,
        "stages",
        pipeline.stages.iter().map(stage_2).collect(),
    );
    document
}

fn stage_2(stage: &Stage) -> Value {
    let mut document = json!({"type": stage.name, "id": stage.id.to_string()});
    set(&mut document, "options", Value::Object(stage.options.clone()));
    let devices = stage
        .devices
        .iter()
        .map(|device| (device.name.clone(), device_2(device)));
    set(&mut document, "devices", devices.collect());
    let mounts = stage.mounts.iter().map(|mount| mount_2(mount, &stage.devices));
    set(&mut document, "mounts", mounts.collect());
    let inputs = stage
        .inputs
        .iter()
        .map(|input| (input.name.clone(), input_2(input)));
    set(&mut document, "inputs", inputs.collect());
    document
}

fn device_2(device: &Device) -> Value {
    let mut document = json!({"type": device.kind});
    set(&mut document, "options", Value::Object(device.options.clone()));
    document
}

fn mount_2(mount: &Mount, devices: &[Device]) -> Value {
    let mut document = json!({"name": mount.name, "type": mount.kind, "target": mount.target});
    if let Some(device) = mount.device.and_then(|index| devices.get(index)) {
        document["source"] = device.name.clone().into();
    }
    set(&mut document, "options", Value::Object(mount.options.clone()));
    if let Some(partition) = mount.partition.filter(|number| *number > 0) {
        document["partition"] = partition.into();
    }
    document
}

fn input_2(input: &Input) -> Value {
    let origin = match input.origin {
        Origin::Source => "org.osbuild.source",
        Origin::Pipeline => "org.osbuild.pipeline",
    };
    let mut document = json!({"type": input.kind, "origin": origin});
    set(&mut document, "options", Value::Object(input.options.clone()));
    let references: Map<String, Value> = input.references.iter().cloned().collect();
    set(&mut document, "references", Value::Object(references));
    document
}

fn version_1(manifest: &Manifest, library: &Library) -> Value {
    let mut tree = match manifest.pipeline("tree") {
        Some(pipeline) => pipeline_1(manifest, pipeline, library),
        None => json!({}),
    };
    if let Some(stage) = manifest.pipeline("assembler").and_then(|p| p.stages.first()) {
        tree["assembler"] = stage_1(stage);
    }
    let mut document = json!({"pipeline": tree});
    let sources = manifest.sources.iter().map(|source| {
        let name = match source.kind.as_str() {
            "org.osbuild.curl" => "org.osbuild.files",
            other => other,
        };
        (name.to_owned(), source.options.clone())
    });
    set(&mut document, "sources", sources.collect());
    document
}

fn pipeline_1(manifest: &Manifest, pipeline: &Pipeline, library: &Library) -> Value {
    let mut document = json!({});
    if let Some(index) = pipeline.build {
        document["build"] = json!({
            "pipeline": pipeline_1(manifest, &manifest.pipelines[index], library),
            "runner": library.runner(pipeline.runner.as_deref()).0,
        });
    }
    set(
        &mut document,
        "stages",
        pipeline.stages.iter().map(stage_1).collect(),
    );
    document
}

fn stage_1(stage: &Stage) -> Value {
    let mut document = json!({"name": stage.name});
    set(&mut document, "options", Value::Object(stage.options.clone()));
    document["id"] = stage.id.to_string().into();
    document
}

/// Sets a member, unless it would be empty.
fn set(document: &mut Value, key: &str, value: Value) {
    if !is_empty(&value) {
        document[key] = value;
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        other => other.is_null(),
    }
}
