//! Format 2 into the model: pipelines and what they refer to. Stages are read in `v2_stage`.

use std::collections::HashSet;

use serde_json::Value;

use crate::form::source_kind;
use crate::id::StageId;
use crate::model::{Manifest, ModuleKind, Pipeline, Source, Version};
use crate::object::Object;
use crate::path::Path;
use crate::problem::{Problem, Report};
use crate::suggest::did_you_mean;
use crate::v1::source;
use crate::v2_stage::StageReader;

/// Tells what kind of module a stage of this name is.
pub(crate) type KindOf<'a> = &'a dyn Fn(&str) -> ModuleKind;

/// Loads a manifest in format 2.
pub(crate) fn load(root: &Object<'_>, kind_of: KindOf<'_>, report: &mut Report) -> Manifest {
    let sources = load_sources(root, report);
    let items = sources
        .iter()
        .flat_map(|s| s.items.iter().map(|(item, _)| item.as_str()));
    let items: HashSet<&str> = items.collect();
    let entries = root.elements("pipelines", report);
    let names: Vec<&str> = entries
        .iter()
        .map(|entry| entry.map.get("name").and_then(Value::as_str).unwrap_or_default())
        .collect();
    let mut pipelines = Vec::new();
    let mut builds = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let name = entry.text("name", report).unwrap_or_default();
        check_name(name, &names[..n], &entry.path, report);
        let known = Earlier {
            names: &names,
            pipelines: &pipelines,
        };
        let build = build_of(entry, known, report);
        let reader = StageReader {
            known,
            items: &items,
            kind_of,
            build: build.id(&pipelines),
            source_epoch: entry.integer("source-epoch", report),
        };
        let stages = reader.stages(entry, report);
        pipelines.push(Pipeline {
            name: name.to_owned(),
            build: None,
            runner: None,
            declared_runner: entry.optional_text("runner", report).map(str::to_owned),
            source_epoch: reader.source_epoch,
            stages,
        });
        builds.push(build);
    }
    for (n, build) in builds.iter().enumerate() {
        let path = entries[n].path.key("build");
        resolve_build(n, build, &mut pipelines, &path, report);
    }
    Manifest {
        version: Version::Two,
        name: None,
        pipelines,
        sources,
        metadata: root.map.get("metadata").cloned(),
        warnings: Vec::new(),
    }
}

/// The pipelines that stand before one, which alone it may name.
#[derive(Clone, Copy)]
pub(crate) struct Earlier<'a> {
    /// Of all pipelines, later ones too.
    names: &'a [&'a str],
    pub pipelines: &'a [Pipeline],
}

impl Earlier<'_> {
    /// The index of the earlier pipeline called `name`; the problem at `path` if there is none.
    pub(crate) fn find(&self, name: &str, path: &Path) -> Result<usize, Problem> {
        let earlier = &self.names[..self.pipelines.len()];
        if let Some(index) = earlier.iter().position(|n| *n == name) {
            return Ok(index);
        }
        let later = self.names.contains(&name);
        let hint = match later {
            true => Some("a pipeline may only use those before it: change their order".to_owned()),
            false => did_you_mean(name, earlier.iter().copied()),
        };
        let message = format!("no pipeline before this one is called `{name}`");
        Err(Problem::new(path.clone(), message).hint(hint))
    }

    /// Whether any pipeline, earlier or not, is called `name`.
    pub(crate) fn named(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

/// What a pipeline says it is built with.
enum Build {
    Host,
    Earlier(usize),
    Id(StageId),
}

impl Build {
    fn id(&self, pipelines: &[Pipeline]) -> Option<StageId> {
        match self {
            Self::Host => None,
            Self::Earlier(index) => pipelines[*index].id().copied(),
            Self::Id(id) => Some(*id),
        }
    }
}

fn build_of(entry: &Object<'_>, known: Earlier<'_>, report: &mut Report) -> Build {
    let Some(build) = entry
        .optional_text("build", report)
        .filter(|text| !text.is_empty())
    else {
        return Build::Host;
    };
    let path = entry.path.key("build");
    let found = match build.strip_prefix("name:") {
        Some(name) => known.find(name, &path).map(Build::Earlier),
        None => build.parse().map(Build::Id).map_err(|_| {
            let hint = known
                .named(build)
                .then(|| format!("did you mean `name:{build}`?"));
            let message = format!("`{build}` is neither `name:` with the name of a pipeline nor an id");
            Problem::new(path, message).hint(hint)
        }),
    };
    found.unwrap_or_else(|problem| {
        report.references.push(problem);
        Build::Host
    })
}

/// Finds the build pipeline of the pipeline `n`, now that all ids are known, and the runner that goes with it.
fn resolve_build(n: usize, build: &Build, pipelines: &mut [Pipeline], path: &Path, report: &mut Report) {
    let Some(id) = build.id(pipelines) else {
        return;
    };
    let has_id = |pipeline: &Pipeline| pipeline.id() == Some(&id);
    let index = match build {
        Build::Earlier(index) => Some(*index),
        _ => pipelines.iter().position(has_id),
    };
    if index.is_none() {
        let message = format!("no pipeline has the id {id}");
        let hint = "name the pipeline, as in `name:build`: its id changes with its stages".to_owned();
        let problem = Problem::new(path.clone(), message).hint(hint);
        report.references.push(problem);
    }
    // of several pipelines with this id the last one says which runner
    let runner = pipelines
        .iter()
        .rfind(|p| has_id(p))
        .and_then(|p| p.declared_runner.clone());
    (pipelines[n].build, pipelines[n].runner) = (index, runner);
}

fn check_name(name: &str, before: &[&str], path: &Path, report: &mut Report) {
    let path = path.key("name");
    if before.contains(&name) && !name.is_empty() {
        let message = format!("an earlier pipeline is called `{name}` as well");
        report.references.push(Problem::new(path, message));
    } else if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        let message =
            format!("pipeline `{name}` cannot be exported by a name that leads out of the directory");
        report.warnings.push(Problem::new(path, message));
    }
}

fn load_sources(root: &Object<'_>, report: &mut Report) -> Vec<Source> {
    let mut sources = Vec::new();
    for (name, entry) in root.members("sources", report) {
        let options = Value::Object(entry.options(report));
        if let Some(items) = entry.object("items", report) {
            sources.push(source(source_kind(name), items.map, options, entry.path.clone()));
        } else if !entry.map.contains_key("items") {
            let problem = Problem::new(entry.path.clone(), "`items` is missing");
            report.shape.push(problem);
        }
    }
    sources
}
