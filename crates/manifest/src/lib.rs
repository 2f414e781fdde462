//! Manifests: JSON of either format into one model, with ids and with every mistake named by its place.
//!
//! * [`parse`]: text into JSON, or line and column of what is wrong with it.
//! * [`load`]: JSON into a [`Manifest`], or all its [`Problem`]s at once.
//! * [`line_of`]: the place of a [`Path`] in the text.
//! * [`assemble_schema`]: module metadata into the schema of a manifest's entry.
//! * [`python_json`]: the text that ids are hashed from.
//!
//! No I/O and no clock: schemas come through the trait [`Schemas`].

mod form;
mod id;
mod locate;
mod mentioned;
mod meta;
mod model;
mod modules;
mod object;
mod path;
mod pattern;
mod problem;
mod python_json;
mod schema;
mod suggest;
mod syntax;
mod v1;
mod v2;
mod v2_disk;
mod v2_stage;
mod validate;
mod words;

use serde_json::Value;

pub use id::{DeviceId, InputId, MountId, NoId, SourceId, StageId};
pub use locate::line_of;
pub use mentioned::mentioned;
pub use meta::{assemble_schema, open_schema};
pub use model::{Device, Input, Manifest, ModuleKind, Mount, Origin, Pipeline, Source, Stage, Version};
pub use modules::Schemas;
pub use path::{Path, Step};
pub use problem::{Problem, validation_document, validation_text};
pub use python_json::{python_json, python_text};
pub use syntax::{SyntaxError, parse};

use form::Form;
use modules::Modules;
use object::Object;
use problem::Report;

/// Validates a manifest and resolves everything in it that refers to something else.
///
/// Without `schemas` only the structure is checked, not the options of modules, and every stage of format 2 counts as
/// one, even if it names an assembler. The problems are all there are, sorted by path.
pub fn load(value: &Value, schemas: Option<&dyn Schemas>) -> Result<Manifest, Vec<Problem>> {
    let Some(version) = Version::of(value) else {
        return Err(vec![unsupported(value)]);
    };
    let form = Form::of(value, version);
    let modules = schemas.map(|schemas| Modules::new(schemas, version));
    let mut report = Report::default();
    validate::manifest(value, form, schemas, &mut report);
    if version == Version::One && value.get("pipelines").is_some() {
        hint_at_format_2(&mut report);
    }
    if let Some(modules) = &modules {
        validate::modules(value, form, modules, &mut report);
    }
    let kind_of = |name: &str| match &modules {
        Some(modules) if modules.is_assembler(name) => ModuleKind::Assembler,
        _ => ModuleKind::Stage,
    };
    let manifest = Object::new(value, Path::root(), &mut report).map(|root| match form {
        Form::Two => v2::load(&root, &kind_of, &mut report),
        Form::One | Form::Oldest => v1::load(&root, form, &mut report),
    });
    let problems = report.problems();
    match manifest {
        Some(mut manifest) if problems.is_empty() => {
            manifest.warnings = report.warnings;
            Ok(manifest)
        }
        _ => Err(problems),
    }
}

fn unsupported(value: &Value) -> Problem {
    let version = value.get("version").map(words::value).unwrap_or_default();
    let hint = "the formats are \"1\" and \"2\", in quotes".to_owned();
    Problem::new(
        Path::root().key("version"),
        format!("unsupported manifest format: {version}"),
    )
    .hint(hint)
}

/// Says that a manifest without a version, but with pipelines, lacks the version.
fn hint_at_format_2(report: &mut Report) {
    let pipelines = Path::root().key("pipelines");
    for problem in &mut report.invalid {
        if problem.at == pipelines {
            problem.hint = Some("`pipelines` belongs to format 2: add `\"version\": \"2\"`".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
