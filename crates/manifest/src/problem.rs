//! What is wrong with a manifest, for people and as the field's validation document.

use serde_json::{Value, json};

use crate::path::Path;

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Lower case, no full stop.
    pub message: String,
    /// The path that the validation document names: of an unknown member the object it is in.
    pub path: Path,
    /// The path to show to people: of an unknown member the member itself. It leads into the manifest as it was written.
    pub at: Path,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with what is at `path`.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: path.clone(),
            path,
            hint: None,
        }
    }

    /// Names the place for people.
    #[must_use]
    pub fn at(mut self, at: Path) -> Self {
        self.at = at;
        self
    }

    /// Says what to do, if that is known.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// The validation document that `--json` prints.
pub fn validation_document(problems: &[Problem]) -> Value {
    let errors: Vec<Value> = problems
        .iter()
        .map(|problem| json!({"message": problem.message, "path": problem.path}))
        .collect();
    json!({
        "type": "https://osbuild.org/validation-error",
        "title": "JSON Schema validation failed",
        "success": false,
        "errors": errors,
    })
}

/// The validation errors as text, as the field prints them; `manifest` is the file or `<stdin>`.
pub fn validation_text(manifest: &str, problems: &[Problem]) -> String {
    let mut text = format!("{manifest} has errors:\n\n");
    for problem in problems {
        text += &format!("{}:\n  {}\n\n", problem.path, problem.message);
    }
    text
}

/// What is found while a manifest is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What a schema refuses.
    pub invalid: Vec<Problem>,
    /// A wrong structure, found on loading: a schema has most often said so before.
    pub shape: Vec<Problem>,
    /// Names and ids that lead nowhere.
    pub references: Vec<Problem>,
    /// What works, but hardly as meant.
    pub warnings: Vec<Problem>,
}

impl Report {
    /// The problems in the order they are shown in: by path, then message, none twice.
    pub(crate) fn problems(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.invalid);
        if problems.is_empty() {
            problems.append(&mut self.shape);
        }
        problems.append(&mut self.references);
        problems.sort_by_cached_key(|problem| (problem.path.to_string(), problem.message.clone()));
        problems.dedup_by(|a, b| a.path == b.path && a.message == b.message);
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_document_are_the_fields() {
        let path = Path::root().key("pipelines").index(0);
        let problems = [Problem::new(path.clone(), "bad").at(path.key("x"))];
        assert_eq!(
            validation_text("m.json", &problems),
            "m.json has errors:\n\n.pipelines[0]:\n  bad\n\n"
        );
        assert_eq!(
            validation_document(&problems).to_string(),
            concat!(
                r#"{"type":"https://osbuild.org/validation-error","title":"JSON Schema validation failed","#,
                r#""success":false,"errors":[{"message":"bad","path":["pipelines",0]}]}"#
            )
        );
    }
}
