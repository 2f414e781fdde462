//! `image-builder resolve`: pins the packages of a hand-written pipeline.
//!
//! Stages that name packages (`org.osbuild.apt`, `org.osbuild.dnf`) become stages that install packages of given digests
//! (`org.osbuild.deb`, `org.osbuild.rpm`), and the packages become sources. Everything else stays as it is. What is
//! printed is a manifest in format 2; a pipeline of an older form means the same there.

mod apt_stage;
mod dnf_stage;
mod options;
mod upgrade;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cache;
use crate::cli::Resolve;
use crate::error::{Failure, OrFail, Result};
use crate::print;

/// What holds for all stages.
#[derive(Debug, Default)]
struct Context {
    /// Where package lists are kept.
    cache: PathBuf,
    /// Addresses in the place of those in the pipeline, by the id of the repository.
    addresses: BTreeMap<String, String>,
}

/// Reads, pins and writes.
pub fn run(resolve: &Resolve) -> Result<()> {
    let (name, text) = read(&resolve.pipeline)?;
    let context = Context {
        cache: cache::dir(resolve.cache.as_deref())?,
        addresses: resolve.repos.iter().cloned().collect(),
    };
    let manifest = pin(&name, &text, &context)?;
    match &resolve.output {
        None => print::manifest(&manifest),
        Some(file) if file == Path::new("-") => print::manifest(&manifest),
        Some(file) => {
            let text = print::text(&manifest)?;
            write_whole(file, text.as_bytes()).or_fail(|| format!("cannot write {}", file.display()))
        }
    }
}

/// Writes a file that is there as a whole, or as it was before.
fn write_whole(file: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    // a pipe or a device is written to, and stays what it is
    if file.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(file, content);
    }
    let dir = file
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut draft = tempfile::Builder::new().permissions(mode).tempfile_in(dir)?;
    draft.write_all(content)?;
    draft.persist(file)?;
    Ok(())
}

fn read(file: &Path) -> Result<(String, String)> {
    let (name, text) = if file == Path::new("-") {
        ("stdin".to_owned(), std::io::read_to_string(std::io::stdin()))
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::input(format!(
            "cannot read the pipeline {name}: {error}"
        ))),
    }
}

/// Pins the pipeline in `text`; errors call it `name`.
fn pin(name: &str, text: &str, context: &Context) -> Result<Value> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| Failure::input(format!("{name}: {error}")))?;
    let (mut manifest, paths) = upgrade::to_format_2(document).map_err(|failure| in_file(name, failure))?;
    let mut state = State::default();
    let pipelines = manifest.get_mut("pipelines").and_then(Value::as_array_mut);
    for (pipeline, path) in pipelines.into_iter().flatten().zip(&paths) {
        pin_pipeline(pipeline, context, &mut state)
            .map_err(|(stage, failure)| in_file(&format!("{name}: {path}.stages[{stage}]"), failure))?;
    }
    if let Some(epoch) = state.newest {
        let pipelines = manifest.get_mut("pipelines").and_then(Value::as_array_mut);
        for pipeline in pipelines.into_iter().flatten().filter_map(Value::as_object_mut) {
            pipeline.entry("source-epoch").or_insert_with(|| json!(epoch));
        }
    }
    merge_sources(&mut manifest, state.sources)?;
    Ok(manifest)
}

fn in_file(place: &str, failure: Failure) -> Failure {
    Failure {
        message: format!("{place}: {}", failure.message),
        ..failure
    }
}

/// What has come together while stages were pinned.
#[derive(Debug, Default)]
struct State {
    /// Sources by type.
    sources: Map<String, Value>,
    /// The newest date of the repositories.
    newest: Option<i64>,
}

impl State {
    /// Adds pinned packages as items of the source that fetches by path and mirror.
    fn add_source(&mut self, items: Map<String, Value>, mirrors: Map<String, Value>) -> Result<()> {
        let source = self
            .sources
            .entry("org.osbuild.librepo")
            .or_insert_with(|| json!({"items": {}}));
        merge(&mut source["items"], items)?;
        if !mirrors.is_empty() {
            if source.get("options").is_none() {
                source["options"] = json!({"mirrors": {}});
            }
            for (id, mirror) in &mirrors {
                let there = source["options"]["mirrors"].get(id);
                if there.is_some_and(|there| there != mirror) {
                    return Err(Failure::input(format!("two repositories are called `{id}`"))
                        .hint("give one of them another id"));
                }
            }
            merge(&mut source["options"]["mirrors"], mirrors)?;
        }
        Ok(())
    }
}

fn pin_pipeline(
    pipeline: &mut Value,
    context: &Context,
    state: &mut State,
) -> std::result::Result<(), (usize, Failure)> {
    let mut installed = apt_stage::Installed::default();
    let stages = pipeline.get_mut("stages").and_then(Value::as_array_mut);
    for (number, stage) in stages.into_iter().flatten().enumerate() {
        let pinned = match stage.get("type").and_then(Value::as_str) {
            Some("org.osbuild.apt") => apt_stage::pin(stage, context, &mut installed, state),
            Some("org.osbuild.dnf") => dnf_stage::pin(stage, context, state),
            _ => continue,
        };
        *stage = pinned.map_err(|failure| (number, failure))?;
    }
    Ok(())
}

fn merge_sources(manifest: &mut Value, sources: Map<String, Value>) -> Result<()> {
    for (kind, source) in sources {
        if manifest.get("sources").is_none() {
            manifest["sources"] = json!({});
        }
        match manifest["sources"].get_mut(&kind) {
            None => manifest["sources"][&kind] = source,
            Some(there) => {
                for (key, value) in source.as_object().cloned().unwrap_or_default() {
                    match (there.get_mut(&key), value) {
                        (Some(there), Value::Object(value)) if key == "items" => merge(there, value)?,
                        (Some(there), Value::Object(mut value)) => {
                            let mirrors = value.remove("mirrors").unwrap_or_default();
                            if there.get("mirrors").is_none() {
                                there["mirrors"] = json!({});
                            }
                            merge(
                                &mut there["mirrors"],
                                mirrors.as_object().cloned().unwrap_or_default(),
                            )?;
                        }
                        (_, value) => there[&key] = value,
                    }
                }
            }
        }
    }
    Ok(())
}

/// Adds members to an object, which then has them in order.
fn merge(object: &mut Value, members: Map<String, Value>) -> Result<()> {
    let object = object
        .as_object_mut()
        .ok_or_else(|| Failure::input("the sources are no object"))?;
    object.extend(members);
    object.sort_keys();
    Ok(())
}

#[cfg(test)]
mod tests;
