//! Format 1, and its oldest form, into the model.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::form::{Form, source_kind};
use crate::id::{self, StageId};
use crate::model::{Input, Manifest, ModuleKind, Origin, Pipeline, Source, Stage, Version};
use crate::object::{Object, truthy};
use crate::path::Path;
use crate::problem::{Problem, Report};

/// Loads a manifest in format 1. Build pipelines are called `build`, `build-build` and so on, by their depth.
pub(crate) fn load(root: &Object<'_>, form: Form, report: &mut Report) -> Manifest {
    let sources = load_sources(root, report);
    let items = sources
        .iter()
        .flat_map(|s| s.items.iter().map(|(item, _)| item.as_str()));
    let items = items.collect();
    let mut loader = Loader {
        report,
        items: &items,
        pipelines: Vec::new(),
    };
    let main = match form {
        Form::Oldest => Some(root.clone()),
        _ => root.object("pipeline", loader.report),
    };
    match main {
        Some(main) => {
            let tree = loader.pipeline(&main, 0);
            loader.assembler(&main, tree);
        }
        None => {
            let nothing = Object {
                map: &Map::new(),
                path: root.path.key("pipeline"),
            };
            loader.pipeline(&nothing, 0);
        }
    }
    let pipelines = loader.pipelines;
    Manifest {
        version: Version::One,
        name: match form {
            Form::Oldest => root.optional_text("name", report).map(str::to_owned),
            _ => None,
        },
        pipelines,
        sources,
        metadata: None,
        warnings: Vec::new(),
    }
}

struct Loader<'a> {
    report: &'a mut Report,
    /// Of all sources.
    items: &'a HashSet<&'a str>,
    pipelines: Vec<Pipeline>,
}

impl Loader<'_> {
    /// Loads a pipeline behind those it is built with, and returns its index.
    fn pipeline(&mut self, object: &Object<'_>, depth: usize) -> usize {
        let (mut build, mut runner) = (None, None);
        if let Some(entry) = object.object("build", self.report) {
            runner = entry.optional_text("runner", self.report).map(str::to_owned);
            let inner = match entry.map.contains_key("pipeline") {
                true => entry.object("pipeline", self.report),
                false => Some(entry.clone()),
            };
            if let Some(inner) = inner {
                if inner.map.contains_key("assembler") {
                    let message = "the assembler of a build pipeline is ignored";
                    let warning = Problem::new(inner.path.key("assembler"), message);
                    self.report.warnings.push(warning);
                }
                build = Some(self.pipeline(&inner, depth + 1));
            }
        }
        let build_id = build.and_then(|index| self.pipelines[index].id().copied());
        let stages = self.stages(object, build_id);
        self.pipelines.push(Pipeline {
            name: match depth {
                0 => "tree".to_owned(),
                _ => vec!["build"; depth].join("-"),
            },
            // one without stages is the host's tree
            build: build.filter(|_| build_id.is_some()),
            declared_runner: runner.clone(),
            runner,
            source_epoch: None,
            stages,
        });
        self.pipelines.len() - 1
    }

    fn stages(&mut self, object: &Object<'_>, build: Option<StageId>) -> Vec<Stage> {
        let mut base = self.base(object);
        let entries = object.elements("stages", self.report);
        if base.is_some() && entries.is_empty() {
            let message = "a pipeline with a `base` needs a stage";
            let problem = Problem::new(object.path.key("base"), message);
            self.report.references.push(problem);
        }
        let mut stages = Vec::new();
        for entry in entries {
            let Some(mut stage) = self.stage(&entry, ModuleKind::Stage) else {
                continue;
            };
            stage.inputs.extend(self.option_input(&entry, &stage));
            (stage.base, stage.build) = (base, build);
            stage.id = id::stage(&stage);
            base = Some(stage.id);
            stages.push(stage);
        }
        stages
    }

    /// The tree that the oldest form starts from.
    fn base(&mut self, object: &Object<'_>) -> Option<StageId> {
        let text = object.optional_text("base", self.report)?;
        let base = text.parse();
        if let Err(error) = &base {
            let problem = Problem::new(object.path.key("base"), format!("{error}"));
            self.report.references.push(problem);
        }
        base.ok()
    }

    /// A stage without inputs, base and build, its id not yet computed.
    fn stage(&mut self, entry: &Object<'_>, kind: ModuleKind) -> Option<Stage> {
        Some(Stage {
            name: entry.text("name", self.report)?.to_owned(),
            kind,
            id: id::unset::STAGE,
            base: None,
            build: None,
            source_epoch: None,
            options: entry.options(self.report),
            inputs: Vec::new(),
            devices: Vec::new(),
            mounts: Vec::new(),
            path: entry.path.clone(),
        })
    }

    /// The pipeline `assembler`, which has the tree of pipeline `tree` as its input.
    fn assembler(&mut self, main: &Object<'_>, tree: usize) {
        let Some(entry) = main.object("assembler", self.report) else {
            return;
        };
        let Some(mut stage) = self.stage(&entry, ModuleKind::Assembler) else {
            return;
        };
        let pipeline = &self.pipelines[tree];
        let reference = pipeline.id().map_or("null".to_owned(), StageId::to_string);
        let input = input("tree", "org.osbuild.tree", vec![(reference, json!({}))]);
        stage.inputs = vec![pipeline_input(input, tree)];
        stage.build = pipeline
            .build
            .and_then(|build| self.pipelines[build].id().copied());
        stage.id = id::stage(&stage);
        let assembler = Pipeline {
            name: "assembler".to_owned(),
            stages: vec![stage],
            ..pipeline.clone()
        };
        self.pipelines.push(assembler);
    }

    /// The input that a stage of this format has by its options: `packages` of package stages, `commits` of `ostree`.
    fn option_input(&mut self, entry: &Object<'_>, stage: &Stage) -> Option<Input> {
        let options = entry.object("options", self.report)?;
        let (name, kind, key, references) = match stage.name.as_str() {
            "org.osbuild.rpm" | "org.osbuild.deb" if options.map.contains_key("packages") => (
                "packages",
                "org.osbuild.files",
                "packages",
                self.packages(&options),
            ),
            "org.osbuild.ostree" => {
                let commit = options.text("commit", self.report)?;
                let branch = options.map.get("ref").filter(|value| truthy(value));
                let about = branch.map_or(json!({}), |branch| json!({"ref": branch}));
                (
                    "commits",
                    "org.osbuild.ostree",
                    "commit",
                    vec![(commit.to_owned(), about)],
                )
            }
            _ => return None,
        };
        if let Some((missing, _)) = references
            .iter()
            .find(|(id, _)| !self.items.contains(id.as_str()))
        {
            let message = format!("no source has `{missing}`: it must be in the store already");
            let path = options.path.key(key);
            self.report.warnings.push(Problem::new(path, message));
        }
        Some(input(name, kind, references))
    }

    fn packages(&mut self, options: &Object<'_>) -> Vec<(String, Value)> {
        let path = options.path.key("packages");
        let mut references = Vec::new();
        for (n, package) in options.list("packages", self.report).iter().enumerate() {
            if let Some(checksum) = package.as_str() {
                references.push((checksum.to_owned(), json!({})));
            } else if let Some(package) = Object::new(package, path.index(n), self.report)
                && let Some(checksum) = package.text("checksum", self.report)
            {
                let check = package.map.get("check_gpg").filter(|value| truthy(value));
                let about = check.map_or(json!({}), |check| json!({"metadata": {"rpm.check_gpg": check}}));
                references.push((checksum.to_owned(), about));
            }
        }
        references
    }
}

fn load_sources(root: &Object<'_>, report: &mut Report) -> Vec<Source> {
    let mut sources = Vec::new();
    for (name, entry) in root.members("sources", report) {
        let kind = source_kind(name);
        let key = match kind {
            "org.osbuild.curl" => "urls",
            "org.osbuild.ostree" => "commits",
            _ => "items",
        };
        let Some(items) = entry.object(key, report) else {
            if !entry.map.contains_key(key) {
                let message = format!("`{key}` is missing");
                report.shape.push(Problem::new(entry.path.clone(), message));
            }
            continue;
        };
        let options = Value::Object(entry.map.clone());
        sources.push(source(kind, items.map, options, entry.path.clone()));
    }
    sources
}

/// A source with its id.
pub(crate) fn source(kind: &str, items: &Map<String, Value>, options: Value, path: Path) -> Source {
    let items: Vec<_> = items.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Source {
        kind: kind.to_owned(),
        id: id::source(kind, &items),
        items,
        options,
        path,
    }
}

/// An input of source origin with its id; of equal references the last counts, at the place of the first.
fn input(name: &str, kind: &str, references: Vec<(String, Value)>) -> Input {
    let references: Map<String, Value> = references.into_iter().collect();
    let mut input = Input {
        name: name.to_owned(),
        kind: kind.to_owned(),
        origin: Origin::Source,
        references: references.into_iter().collect(),
        options: Map::new(),
        id: id::unset::INPUT,
        pipelines: Vec::new(),
    };
    input.id = id::input(&input);
    input
}

fn pipeline_input(mut input: Input, pipeline: usize) -> Input {
    input.origin = Origin::Pipeline;
    input.pipelines = vec![pipeline];
    input.id = id::input(&input);
    input
}
