//! From format 1, also in its oldest form, to format 2.
//!
//! | format 1 | format 2 |
//! |---|---|
//! | `pipeline.build.pipeline` | a pipeline `build` (its own build: `build-build`, …) |
//! | `pipeline.stages` | a pipeline `tree` |
//! | `pipeline.assembler` | a pipeline `assembler` of one stage with `tree` as input |
//! | `sources.org.osbuild.files.urls` | `sources.org.osbuild.curl.items` |
//! | `packages` of `org.osbuild.rpm` | input `packages` |
//!
//! In the oldest form the pipeline is the document itself, and `build` a pipeline without a runner beside it.

use serde_json::{Map, Value, json};

use crate::error::{Failure, Result};

/// A document in format 2, and where each of its pipelines is in the one that was read.
pub fn to_format_2(document: Value) -> Result<(Value, Vec<String>)> {
    let Value::Object(mut document) = document else {
        return Err(Failure::input("a pipeline is an object"));
    };
    if document.get("version").and_then(Value::as_str) == Some("2") {
        let pipelines = document
            .get("pipelines")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let paths = (0..pipelines).map(|number| format!(".pipelines[{number}]"));
        return Ok((Value::Object(document), paths.collect()));
    }
    let sources = document.remove("sources").unwrap_or_default();
    let (path, pipeline) = match document.remove("pipeline") {
        Some(pipeline) => (".pipeline", pipeline),
        None => ("", Value::Object(document)),
    };
    let mut found = Vec::new();
    add(pipeline, path, 0, None, &mut found)?;
    let (paths, pipelines): (Vec<String>, Vec<Value>) = found.into_iter().unzip();
    let mut manifest = json!({"version": "2", "pipelines": pipelines});
    let sources = convert_sources(sources)?;
    if !sources.is_empty() {
        manifest["sources"] = json!(sources);
    }
    Ok((manifest, paths))
}

/// Adds a pipeline and, before it, what it is built with.
fn add(
    pipeline: Value,
    path: &str,
    depth: usize,
    runner: Option<Value>,
    found: &mut Vec<(String, Value)>,
) -> Result<()> {
    let Value::Object(mut pipeline) = pipeline else {
        return Err(Failure::input("a pipeline is an object"));
    };
    if pipeline.contains_key("base") {
        return Err(Failure::input("`base` has no meaning any more")
            .hint("put the stages of the base before those that are built on it"));
    }
    let mut name = vec!["build"; depth].join("-");
    if depth == 0 {
        name.push_str("tree");
    }
    let mut converted = json!({"name": name});
    if let Some(build) = pipeline.remove("build").filter(|build| !build.is_null()) {
        let (inner, runner, path) = match build {
            Value::Object(mut build) if build.contains_key("pipeline") => {
                let inner = build.remove("pipeline").unwrap_or_default();
                (inner, build.remove("runner"), format!("{path}.build.pipeline"))
            }
            other => (other, None, format!("{path}.build")),
        };
        add(inner, &path, depth + 1, runner, found)?;
        converted["build"] = json!(format!("name:{}", vec!["build"; depth + 1].join("-")));
    }
    if let Some(runner) = runner {
        converted["runner"] = runner;
    }
    let build = converted.get("build").cloned();
    let stages = pipeline.remove("stages").unwrap_or_else(|| json!([]));
    let Value::Array(stages) = stages else {
        return Err(Failure::input("`stages` is a list"));
    };
    let stages: Result<Vec<Value>> = stages.into_iter().map(stage).collect();
    converted["stages"] = Value::Array(stages?);
    found.push((path.to_owned(), converted));
    if let Some(assembler) = pipeline
        .remove("assembler")
        .filter(|value| depth == 0 && !value.is_null())
    {
        let mut stage = stage(assembler)?;
        stage["inputs"] = json!({
            "tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]},
        });
        let mut last = json!({"name": "assembler"});
        if let Some(build) = build {
            last["build"] = build;
        }
        last["stages"] = json!([stage]);
        found.push((format!("{path}.assembler"), last));
    }
    Ok(())
}

fn stage(stage: Value) -> Result<Value> {
    let Value::Object(mut stage) = stage else {
        return Err(Failure::input("a stage is an object"));
    };
    let name = stage.remove("name").or_else(|| stage.remove("type"));
    let Some(name) = name.filter(Value::is_string) else {
        return Err(Failure::input("a stage has no name"));
    };
    let mut converted = json!({"type": name});
    let mut options = stage.remove("options").unwrap_or_default();
    if name == "org.osbuild.rpm"
        && let Some(packages) = options
            .as_object_mut()
            .and_then(|options| options.remove("packages"))
    {
        converted["inputs"] = json!({
            "packages": {
                "type": "org.osbuild.files",
                "origin": "org.osbuild.source",
                "references": rpm_references(packages),
            },
        });
    }
    if !options.is_null() {
        converted["options"] = options;
    }
    Ok(converted)
}

fn rpm_references(packages: Value) -> Value {
    let mut references = Map::new();
    for package in packages.as_array().into_iter().flatten() {
        let checksum = package
            .as_str()
            .or_else(|| package.get("checksum").and_then(Value::as_str));
        let checked = package.get("check_gpg").and_then(Value::as_bool) == Some(true);
        let options = if checked {
            json!({"metadata": {"rpm.check_gpg": true}})
        } else {
            json!({})
        };
        references.insert(checksum.unwrap_or_default().to_owned(), options);
    }
    Value::Object(references)
}

fn convert_sources(sources: Value) -> Result<Map<String, Value>> {
    let mut converted = Map::new();
    if sources.is_null() {
        return Ok(converted);
    }
    let Value::Object(sources) = sources else {
        return Err(Failure::input("`sources` is an object"));
    };
    for (kind, mut source) in sources {
        let kind = if kind == "org.osbuild.files" {
            "org.osbuild.curl".to_owned()
        } else {
            kind
        };
        if let Some(source) = source.as_object_mut()
            && let Some(items) = source.remove("urls").or_else(|| source.remove("commits"))
        {
            source.insert("items".into(), items);
        }
        converted.insert(kind, source);
    }
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_form_is_understood() {
        let old = json!({
            "name": "base",
            "build": {"stages": [{"name": "org.osbuild.noop"}]},
            "stages": [{"name": "org.osbuild.noop", "options": {"a": 1}}],
            "assembler": {"name": "io.weldr.qcow2", "options": {"filename": "x"}},
        });
        let (new, paths) = to_format_2(old).unwrap();
        assert_eq!(paths, [".build", "", ".assembler"]);
        assert_eq!(
            new["pipelines"],
            json!([
                {"name": "build", "stages": [{"type": "org.osbuild.noop"}]},
                {"name": "tree", "build": "name:build",
                 "stages": [{"type": "org.osbuild.noop", "options": {"a": 1}}]},
                {"name": "assembler", "build": "name:build", "stages": [{
                    "type": "io.weldr.qcow2",
                    "options": {"filename": "x"},
                    "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline",
                                        "references": ["name:tree"]}},
                }]},
            ])
        );
    }

    #[test]
    fn format_1_keeps_runner_sources_and_packages() {
        let old = json!({
            "pipeline": {
                "build": {"pipeline": {"stages": []}, "runner": "org.osbuild.linux"},
                "stages": [{"name": "org.osbuild.rpm", "options": {
                    "gpgkeys": ["k"], "packages": ["sha256:aa", {"checksum": "sha256:bb", "check_gpg": true}]}}],
            },
            "sources": {"org.osbuild.files": {"urls": {"sha256:aa": "http://a"}}},
        });
        let (new, paths) = to_format_2(old).unwrap();
        assert_eq!(paths, [".pipeline.build.pipeline", ".pipeline"]);
        assert_eq!(new["pipelines"][0]["runner"], "org.osbuild.linux");
        let rpm = &new["pipelines"][1]["stages"][0];
        assert_eq!(rpm["options"], json!({"gpgkeys": ["k"]}));
        let bb = &rpm["inputs"]["packages"]["references"]["sha256:bb"];
        assert_eq!(bb["metadata"]["rpm.check_gpg"], true);
        assert_eq!(
            new["sources"]["org.osbuild.curl"]["items"]["sha256:aa"],
            "http://a"
        );
    }

    #[test]
    fn format_2_stays_as_it_is_and_nonsense_is_refused() {
        let document = json!({"version": "2", "pipelines": []});
        assert_eq!(to_format_2(document.clone()).unwrap().0, document);
        assert!(to_format_2(json!([])).is_err());
        assert!(to_format_2(json!({"stages": [{"options": {}}]})).is_err());
        assert!(to_format_2(json!({"base": "x", "stages": []})).is_err());
    }
}
