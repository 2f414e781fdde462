//! The schemas of modules, asked for once and compiled once, and what is said of a module nobody knows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::model::{ModuleKind, Version};
use crate::path::Path;
use crate::problem::{Problem, Report};
use crate::schema::{Schema, Subject};
use crate::suggest::nearest;

/// Where the schemas of modules come from.
pub trait Schemas {
    /// The complete Draft 4 schema of a manifest's entry for the module `name`, as
    /// [`assemble_schema`](crate::assemble_schema) or [`open_schema`](crate::open_schema) makes it.
    /// `None`: there is no such module, or it is of no use, as [`trouble`](Self::trouble) says.
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value>;

    /// The names of all modules of a kind, for suggestions.
    fn names(&self, kind: ModuleKind) -> Vec<String>;

    /// Why a module that is there has no schema; `None`: there is no such module.
    fn trouble(&self, kind: ModuleKind, name: &str) -> Option<String> {
        let _ = (kind, name);
        None
    }

    /// A schema of whole manifests that takes the place of our own.
    fn manifest_schema(&self, version: Version) -> Option<Value> {
        let _ = version;
        None
    }
}

/// A compiled schema, or what is wrong with it; `None` where the module is unknown.
type Compiled = Option<Rc<Result<Schema, String>>>;

/// The modules a manifest may name.
pub(crate) struct Modules<'a> {
    schemas: &'a dyn Schemas,
    version: Version,
    compiled: RefCell<HashMap<(ModuleKind, String), Compiled>>,
}

impl<'a> Modules<'a> {
    pub(crate) fn new(schemas: &'a dyn Schemas, version: Version) -> Self {
        Self {
            schemas,
            version,
            compiled: RefCell::default(),
        }
    }

    /// Whether format 2's stage `name` is in fact an assembler.
    pub(crate) fn is_assembler(&self, name: &str) -> bool {
        self.get(ModuleKind::Stage, name).is_none() && self.get(ModuleKind::Assembler, name).is_some()
    }

    /// Checks `instance`, the entry at `at` of a manifest, for the module `name`; the document calls it `path`.
    pub(crate) fn check(
        &self,
        kind: ModuleKind,
        name: &str,
        instance: &Value,
        (path, at): (&Path, &Path),
        report: &mut Report,
    ) {
        match self.get(kind, name).as_deref() {
            None => report.invalid.push(self.unknown(kind, name, path, at)),
            Some(Err(error)) => {
                let message = format!("the schema of {name} is no good: {error}");
                report
                    .invalid
                    .push(Problem::new(path.clone(), message).at(at.clone()));
            }
            Some(Ok(schema)) => {
                let problems = schema.check(instance, Subject::Module(kind, name));
                report.invalid.extend(problems.into_iter().map(|problem| Problem {
                    path: path.join(&problem.path),
                    at: at.join(&problem.at),
                    ..problem
                }));
            }
        }
    }

    /// Whether there is a module `name`.
    pub(crate) fn has(&self, kind: ModuleKind, name: &str) -> bool {
        self.get(kind, name).is_some()
    }

    fn get(&self, kind: ModuleKind, name: &str) -> Compiled {
        let key = (kind, name.to_owned());
        if let Some(compiled) = self.compiled.borrow().get(&key) {
            return compiled.clone();
        }
        let schema = self.schemas.schema(kind, name, self.version);
        let compiled = schema.map(|mut schema| {
            if (kind, self.version) == (ModuleKind::Assembler, Version::Two) {
                take_inputs(&mut schema);
            }
            Rc::new(Schema::new(&schema))
        });
        self.compiled.borrow_mut().insert(key, compiled.clone());
        compiled
    }

    fn unknown(&self, kind: ModuleKind, name: &str, path: &Path, at: &Path) -> Problem {
        let key = match (kind, self.version) {
            (ModuleKind::Source, _) => None,
            (_, Version::One) => Some("name"),
            (_, Version::Two) => Some("type"),
        };
        let at = key.map_or_else(|| at.clone(), |key| at.key(key));
        let noun = kind.noun();
        if kind == ModuleKind::Stage && matches!(name, "org.osbuild.apt" | "org.osbuild.dnf") {
            return Problem::new(
                path.clone(),
                format!("{name} names packages that are not pinned yet"),
            )
            .at(at)
            .hint("`image-builder resolve PIPELINE` pins them".to_owned());
        }
        if let Some(trouble) = self.schemas.trouble(kind, name) {
            return Problem::new(path.clone(), trouble).at(at);
        }
        Problem::new(path.clone(), format!("no {noun} is called {name}"))
            .at(at)
            .hint(self.meant(kind, name))
    }

    /// A hint at the module that was probably meant.
    fn meant(&self, kind: ModuleKind, name: &str) -> Option<String> {
        let other = match kind {
            ModuleKind::Stage => Some(ModuleKind::Assembler),
            ModuleKind::Assembler => Some(ModuleKind::Stage),
            _ => None,
        };
        if let Some(other) = other.filter(|other| self.get(*other, name).is_some()) {
            let noun = other.noun();
            return Some(format!("{name} is {}", crate::syntax::article(noun)));
        }
        let names = self.schemas.names(kind);
        if let Some(name) = nearest(name, names.iter().map(String::as_str)) {
            return Some(format!("did you mean `{name}`?"));
        }
        let other = other?;
        let names = self.schemas.names(other);
        let name = nearest(name, names.iter().map(String::as_str))?;
        let noun = crate::syntax::article(other.noun());
        Some(format!("did you mean `{name}`, which is {noun}?"))
    }
}

/// Lets an assembler that is used as a stage have inputs.
fn take_inputs(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        properties
            .entry("inputs")
            .or_insert_with(|| json!({"type": "object"}));
    }
}
