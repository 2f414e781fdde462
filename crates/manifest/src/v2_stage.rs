//! A stage of format 2 and its inputs.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::id::{self, StageId, unset};
use crate::model::{Input, ModuleKind, Origin, Stage};
use crate::object::Object;
use crate::problem::{Problem, Report};
use crate::suggest::did_you_mean;
use crate::v2::{Earlier, KindOf};
use crate::v2_disk::{devices, mounts};

/// Reads the stages of one pipeline.
pub(crate) struct StageReader<'a> {
    pub known: Earlier<'a>,
    /// The items of all sources.
    pub items: &'a HashSet<&'a str>,
    pub kind_of: KindOf<'a>,
    pub build: Option<StageId>,
    pub source_epoch: Option<i64>,
}

impl StageReader<'_> {
    /// The stages of a pipeline, each based on the one before.
    pub(crate) fn stages(&self, pipeline: &Object<'_>, report: &mut Report) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Vec::new();
        for entry in pipeline.elements("stages", report) {
            let base = stages.last().map(|stage| stage.id);
            stages.extend(self.stage(&entry, base, report));
        }
        stages
    }

    fn stage(&self, entry: &Object<'_>, base: Option<StageId>, report: &mut Report) -> Option<Stage> {
        let name = entry.text("type", report)?;
        let devices = devices(entry, report);
        let inputs = entry.members("inputs", report);
        let mut stage = Stage {
            name: name.to_owned(),
            kind: (self.kind_of)(name),
            id: unset::STAGE,
            base,
            build: self.build,
            source_epoch: self.source_epoch,
            options: entry.options(report),
            inputs: inputs
                .into_iter()
                .filter_map(|(name, input)| self.input(name, &input, report))
                .collect(),
            mounts: mounts(entry, &devices, report),
            devices,
            path: entry.path.clone(),
        };
        stage.id = id::stage(&stage);
        if stage.kind == ModuleKind::Assembler {
            check_assembler(&stage, report);
        }
        Some(stage)
    }

    fn input(&self, name: &str, entry: &Object<'_>, report: &mut Report) -> Option<Input> {
        if name.contains('\0') || name.split('/').any(|part| part == "..") {
            let message = "the name of an input must not lead out of the inputs' directory";
            let problem = Problem::new(entry.path.clone(), message);
            report.references.push(problem);
        }
        let kind = entry.text("type", report)?;
        let origin_name = entry.text("origin", report)?;
        let Some(origin) = Origin::from_name(origin_name) else {
            let message = format!("no origin is called `{origin_name}`");
            report.shape.push(Problem::new(entry.path.key("origin"), message));
            return None;
        };
        let declared = references(entry, report);
        let (references, pipelines) = match origin {
            Origin::Source => {
                self.check_items(&declared, entry, report);
                (declared, Vec::new())
            }
            Origin::Pipeline => self.resolve(declared, entry, report),
        };
        let mut input = Input {
            name: name.to_owned(),
            kind: kind.to_owned(),
            origin,
            references: references.into_iter().collect(),
            options: entry.options(report),
            id: unset::INPUT,
            pipelines,
        };
        input.id = id::input(&input);
        Some(input)
    }

    /// Reports references that no source has an item for.
    fn check_items(&self, references: &Map<String, Value>, entry: &Object<'_>, report: &mut Report) {
        let mut missing = references.keys().filter(|id| !self.items.contains(id.as_str()));
        let Some(first) = missing.next() else {
            return;
        };
        let message = match missing.count() {
            0 => format!("no source has the item `{first}`"),
            more => format!("no source has the item `{first}`, nor {more} more of these references"),
        };
        let hint = did_you_mean(first, self.items.iter().copied());
        let problem = Problem::new(entry.path.key("references"), message).hint(hint);
        report.references.push(problem);
    }

    /// Replaces `name:PIPELINE` by the pipeline's id; anything else is dropped, as the peer does.
    fn resolve(
        &self,
        declared: Map<String, Value>,
        entry: &Object<'_>,
        report: &mut Report,
    ) -> (Map<String, Value>, Vec<usize>) {
        let path = entry.path.key("references");
        let (mut references, mut pipelines) = (Map::new(), Vec::new());
        for (reference, options) in declared {
            let Some(name) = reference.strip_prefix("name:") else {
                let hint = format!("did you mean `name:{reference}`?");
                let message =
                    format!("the reference `{reference}` is ignored: it does not start with `name:`");
                let hint = self.known.named(&reference).then_some(hint);
                report
                    .warnings
                    .push(Problem::new(path.clone(), message).hint(hint));
                continue;
            };
            match self.known.find(name, &path) {
                Ok(index) => {
                    let id = self.known.pipelines[index].id();
                    let id = id.map_or("null".to_owned(), StageId::to_string);
                    // pipelines with equal ids have equal trees
                    if references.insert(id, options).is_none() {
                        pipelines.push(index);
                    }
                }
                Err(problem) => report.references.push(problem),
            }
        }
        (references, pipelines)
    }
}

/// The references of an input and their options, from any of the three ways to write them.
fn references(entry: &Object<'_>, report: &mut Report) -> Map<String, Value> {
    let path = entry.path.key("references");
    let given = |options: Option<&Value>| match options {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(options) => options.clone(),
    };
    let mut references = Map::new();
    match entry.map.get("references") {
        Some(Value::Object(map)) => {
            references.extend(map.iter().map(|(id, options)| (id.clone(), given(Some(options)))));
        }
        Some(Value::Array(list)) => {
            for (n, reference) in list.iter().enumerate() {
                if let Some(id) = reference.as_str() {
                    references.insert(id.to_owned(), given(None));
                } else if let Some(object) = Object::new(reference, path.index(n), report)
                    && let Some(id) = object.text("id", report)
                {
                    references.insert(id.to_owned(), given(object.map.get("options")));
                }
            }
        }
        Some(other) => {
            let message = crate::words::wrong_type(&["array", "object"], other);
            report.shape.push(Problem::new(path, message));
        }
        None => report
            .shape
            .push(Problem::new(entry.path.clone(), "`references` is missing")),
    }
    references
}

/// An assembler among the stages of format 2 works on its input `tree`, not on the stages before it.
fn check_assembler(stage: &Stage, report: &mut Report) {
    let name = &stage.name;
    if stage.base.is_some() {
        let message = format!("the assembler {name} must be the first stage of its pipeline");
        let hint = "put it into a pipeline of its own, after this one".to_owned();
        let problem = Problem::new(stage.path.clone(), message).hint(hint);
        report.references.push(problem);
    }
    if !stage.inputs.iter().any(|input| input.name == "tree") {
        let message = format!("the assembler {name} needs an input `tree`");
        let hint = "of type `org.osbuild.tree`, origin `org.osbuild.pipeline`, references [`name:PIPELINE`]";
        let problem = Problem::new(stage.path.clone(), message).hint(hint.to_owned());
        report.references.push(problem);
    }
}
