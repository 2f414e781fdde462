//! Validation: the manifest by the schema of its format, each entry by the schema of its module.
//!
//! Nothing is resolved here, and what has the wrong structure is left to the manifest's own schema to report.

use std::collections::HashSet;
use std::sync::OnceLock;

use serde_json::Value;

use crate::form::Form;
use crate::model::ModuleKind;
use crate::modules::{Modules, Schemas};
use crate::path::Path;
use crate::problem::{Problem, Report};
use crate::schema::{Schema, Subject};

/// Reports all that the schema of the manifest's form refuses.
pub(crate) fn manifest(value: &Value, form: Form, schemas: Option<&dyn Schemas>, report: &mut Report) {
    let foreign = match form {
        Form::Oldest => None,
        _ => schemas.and_then(|schemas| schemas.manifest_schema(form.version())),
    };
    let foreign = foreign.map(|source| Schema::new(&source));
    match foreign.as_ref().unwrap_or_else(|| own(form)) {
        Ok(schema) => report.invalid.extend(schema.check(value, Subject::Manifest)),
        Err(error) => {
            let message = format!("the schema of manifests is no good: {error}");
            report.invalid.push(Problem::new(Path::root(), message));
        }
    }
}

/// Our own schema of a form, compiled once.
fn own(form: Form) -> &'static Result<Schema, String> {
    static OWN: [OnceLock<Result<Schema, String>>; 3] = [const { OnceLock::new() }; 3];
    OWN[form as usize].get_or_init(|| {
        let source = serde_json::from_str(form.schema()).map_err(|error| error.to_string());
        source.and_then(|source| Schema::new(&source))
    })
}

/// Reports all that the schemas of the modules refuse.
pub(crate) fn modules(value: &Value, form: Form, modules: &Modules<'_>, report: &mut Report) {
    let mut walk = Walk { modules, report };
    match form {
        Form::Two => walk.format_2(value),
        Form::One | Form::Oldest => walk.format_1(value, form),
    }
    // a member that neither the manifest nor the module knows is one problem, not two
    let mut seen = HashSet::new();
    report.invalid.retain(|problem| {
        problem.at == problem.path || seen.insert((problem.path.clone(), problem.at.clone()))
    });
}

struct Walk<'a> {
    modules: &'a Modules<'a>,
    report: &'a mut Report,
}

impl Walk<'_> {
    fn format_2(&mut self, value: &Value) {
        for (name, source) in members(value.get("sources")) {
            let at = Path::root().key("sources").key(name);
            self.check_source(name, name, source, &at);
        }
        for (i, pipeline) in elements(value.get("pipelines")) {
            let stages = Path::root().key("pipelines").index(i).key("stages");
            for (j, stage) in elements(pipeline.get("stages")) {
                self.stage_2(stage, &stages.index(j));
            }
        }
    }

    fn stage_2(&mut self, stage: &Value, at: &Path) {
        if let Some(name) = stage.get("type").and_then(Value::as_str) {
            let kind = match self.modules.is_assembler(name) {
                true => ModuleKind::Assembler,
                false => ModuleKind::Stage,
            };
            self.modules.check(kind, name, stage, (at, at), self.report);
        }
        for (name, device) in members(stage.get("devices")) {
            let at = at.key("devices").key(name);
            self.by_type(ModuleKind::Device, device, &at, &at);
        }
        for (name, input) in members(stage.get("inputs")) {
            let at = at.key("inputs").key(name);
            self.by_type(ModuleKind::Input, input, &at, &at);
        }
        for (n, mount) in elements(stage.get("mounts")) {
            // the document calls mounts by their names
            let name = mount.get("name").and_then(Value::as_str);
            let mounts = at.key("mounts");
            let at = mounts.index(n);
            let path = name.map_or_else(|| at.clone(), |name| mounts.key(name));
            self.by_type(ModuleKind::Mount, mount, &path, &at);
        }
    }

    fn by_type(&mut self, kind: ModuleKind, entry: &Value, path: &Path, at: &Path) {
        if let Some(name) = entry.get("type").and_then(Value::as_str) {
            self.modules.check(kind, name, entry, (path, at), self.report);
        }
    }

    fn format_1(&mut self, value: &Value, form: Form) {
        for (name, source) in members(value.get("sources")) {
            let sources = Path::root().key("sources");
            self.check_source(name, crate::form::source_kind(name), source, &sources.key(name));
        }
        match form {
            Form::Oldest => self.pipeline_1(value, &Path::root(), &Path::root()),
            _ => {
                let at = Path::root().key("pipeline");
                value
                    .get("pipeline")
                    .into_iter()
                    .for_each(|pipeline| self.pipeline_1(pipeline, &at, &at));
            }
        }
    }

    fn pipeline_1(&mut self, pipeline: &Value, path: &Path, at: &Path) {
        let (stage, assembler) = (ModuleKind::Stage, ModuleKind::Assembler);
        for (n, entry) in elements(pipeline.get("stages")) {
            let [path, at] = [path, at].map(|p| p.key("stages").index(n));
            self.by_name(stage, entry, &path, &at);
        }
        if let Some(entry) = pipeline.get("assembler") {
            let [path, at] = [path, at].map(|p| p.key("assembler"));
            self.by_name(assembler, entry, &path, &at);
        }
        if let Some(build) = pipeline.get("build") {
            // the document leaves out the step into `pipeline`
            let [path, at] = [path, at].map(|p| p.key("build"));
            match build.get("pipeline") {
                Some(pipeline) => self.pipeline_1(pipeline, &path, &at.key("pipeline")),
                None => self.pipeline_1(build, &path, &at),
            }
        }
    }

    fn by_name(&mut self, kind: ModuleKind, entry: &Value, path: &Path, at: &Path) {
        if let Some(name) = entry.get("name").and_then(Value::as_str) {
            self.modules.check(kind, name, entry, (path, at), self.report);
        }
    }

    /// Checks a source, which a library directory may know by its older or its newer name.
    fn check_source(&mut self, name: &str, shown: &str, source: &Value, at: &Path) {
        let newer = crate::form::source_kind(name);
        let known = if self.modules.has(ModuleKind::Source, newer) {
            newer
        } else {
            name
        };
        let path = Path::root().key("sources").key(shown);
        self.modules
            .check(ModuleKind::Source, known, source, (&path, at), self.report);
    }
}

fn elements(value: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    value.and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}
