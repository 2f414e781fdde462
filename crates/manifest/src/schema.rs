//! JSON Schema, Draft 4, as the peer's validator understands it. The only file that knows the crate which does it.
//!
//! Unknown keywords and what stands beside a `$ref` count nothing, `1.0` is no integer, formats are not looked at,
//! patterns are Python's (`pattern`). Schemas are never fetched.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::model::ModuleKind;
use crate::path::{Path, Step};
use crate::problem::Problem;
use crate::suggest::did_you_mean;
use crate::words;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    source: Value,
    /// Patterns, by what they were translated to.
    patterns: HashMap<String, String>,
}

/// Whose schema it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Manifest,
    Module(ModuleKind, &'a str),
}

impl Schema {
    /// Compiles a schema; the error says what is wrong with it.
    pub(crate) fn new(source: &Value) -> Result<Self, String> {
        let mut source = source.clone();
        let mut patterns = HashMap::new();
        if let Some(map) = source.as_object_mut() {
            map.shift_remove("$schema");
        }
        crate::pattern::translate_schema(&mut source, &mut patterns);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(false)
            .offline()
            .build(&source)
            .map_err(|error| format!("{error} at `{}`", error.instance_path()))?;
        Ok(Self {
            validator,
            source,
            patterns,
        })
    }

    /// Everything that is wrong with `instance`, the paths relative to it.
    pub(crate) fn check(&self, instance: &Value, subject: Subject<'_>) -> Vec<Problem> {
        if self.validator.is_valid(instance) {
            return Vec::new();
        }
        let errors = self.validator.iter_errors(instance);
        errors
            .flat_map(|error| self.explain(&error, instance, subject))
            .collect()
    }

    fn explain(&self, error: &ValidationError<'_>, root: &Value, subject: Subject<'_>) -> Vec<Problem> {
        let path = Path::from_pointer(error.instance_path().as_str(), root);
        let instance: &Value = error.instance();
        let (node, value) = self.keyword(error);
        let problem = |message: String| vec![Problem::new(path.clone(), message)];
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let explain = |key: &String| self.unknown(&path, key, instance, node, subject);
                unexpected.iter().map(explain).collect()
            }
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let option = matches!(subject, Subject::Module(..)) && in_member(&path, "options");
                problem(format!(
                    "{}`{key}` is missing",
                    if option { "option " } else { "" }
                ))
            }
            Kind::Type { .. } => problem(words::wrong_type(&types(value), instance)),
            Kind::Enum { options } => {
                let choices = options.as_array().map_or(&[][..], Vec::as_slice);
                let hint = instance
                    .as_str()
                    .and_then(|word| did_you_mean(word, choices.iter().filter_map(Value::as_str)));
                vec![Problem::new(path, words::wrong_choice(choices, instance)).hint(hint)]
            }
            Kind::Pattern { pattern } => problem(format!(
                "{} is not of the form `{}`",
                words::value(instance),
                self.written(pattern)
            )),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                vec![self.no_form(path, context, instance, root, subject)]
            }
            Kind::OneOfMultipleValid { .. } => {
                problem(format!("{} is of more than one form", words::value(instance)))
            }
            Kind::Not { .. } => problem(format!("{} is not allowed here", words::value(instance))),
            Kind::AdditionalItems { limit } => problem(format!("has more than {limit} elements")),
            other => problem(words::limit(other.keyword(), value).unwrap_or_else(|| error.to_string())),
        }
    }

    /// The problem with a member that the object `instance` at `path` must not have.
    fn unknown(
        &self,
        path: &Path,
        key: &str,
        instance: &Value,
        node: Option<&Map<String, Value>>,
        subject: Subject<'_>,
    ) -> Problem {
        let part = |name| node.and_then(|node| node.get(name)).and_then(Value::as_object);
        let free = part("properties").into_iter().flat_map(Map::keys);
        let free = free.filter(|name| instance.get(name.as_str()).is_none());
        let hint = did_you_mean(key, free.map(String::as_str));
        let patterns: Vec<_> = part("patternProperties")
            .into_iter()
            .flat_map(Map::keys)
            .map(|pattern| format!("`{}`", self.written(pattern)))
            .collect();
        let message = match subject {
            _ if hint.is_none() && !patterns.is_empty() => {
                format!("`{key}` is not of the form {}", patterns.join(" or "))
            }
            Subject::Module(_, name) if in_member(path, "options") => {
                format!("unknown option of {name}: `{key}`")
            }
            Subject::Module(ModuleKind::Stage | ModuleKind::Assembler, name)
                if path.steps().is_empty() && matches!(key, "inputs" | "devices" | "mounts") =>
            {
                format!("{name} takes no {key}")
            }
            Subject::Module(_, name) if path.steps() == [Step::Key("inputs".into())] => {
                format!("{name} takes no input `{key}`")
            }
            Subject::Module(kind, _) if path.steps().is_empty() => {
                format!("unknown member of this {}: `{key}`", kind.noun())
            }
            _ => match node.and_then(|node| node.get("title")).and_then(Value::as_str) {
                Some(title) => format!("unknown member of this {title}: `{key}`"),
                None => format!("unknown member: `{key}`"),
            },
        };
        Problem::new(path.clone(), message).at(path.key(key)).hint(hint)
    }

    /// The problem with a value that none of several schemas takes.
    fn no_form(
        &self,
        path: Path,
        forms: &[Vec<ValidationError<'static>>],
        instance: &Value,
        root: &Value,
        subject: Subject<'_>,
    ) -> Problem {
        let wrong_type = |error: &ValidationError<'_>| {
            matches!(error.kind(), Kind::Type { .. })
                && Path::from_pointer(error.instance_path().as_str(), root) == path
        };
        let expected: Vec<&str> = forms
            .iter()
            .flatten()
            .filter(|error| wrong_type(error))
            .flat_map(|error| types(self.keyword(error).1))
            .collect();
        if !forms.is_empty() && forms.iter().all(|form| form.iter().any(wrong_type)) {
            return Problem::new(path, words::wrong_type(&expected, instance));
        }
        let nearest = forms
            .iter()
            .filter(|form| !form.is_empty() && !form.iter().any(wrong_type))
            .min_by_key(|form| form.len())
            .and_then(|form| self.explain(&form[0], root, subject).into_iter().next());
        let message = format!("{} is none of the forms it may have", words::value(instance));
        match nearest {
            Some(nearest) if nearest.at == path => {
                Problem::new(path, message).hint(format!("for one of them, {}", nearest.message))
            }
            Some(nearest) => {
                let place = nearest.at.below(&path);
                Problem::new(path, message)
                    .hint(format!("for one of them, {} (at `{place}`)", nearest.message))
            }
            None => Problem::new(path, message),
        }
    }

    /// The schema node that raised `error`, and the value of the keyword in it.
    fn keyword(&self, error: &ValidationError<'_>) -> (Option<&Map<String, Value>>, Option<&Value>) {
        let pointer = error.schema_path().as_str();
        let node = pointer.rsplit_once('/').map_or("", |(node, _)| node);
        (
            self.source.pointer(node).and_then(Value::as_object),
            self.source.pointer(pointer),
        )
    }

    /// A pattern as it stands in the schema.
    fn written<'a>(&'a self, pattern: &'a str) -> &'a str {
        self.patterns.get(pattern).map_or(pattern, String::as_str)
    }
}

/// Whether `path` leads to or into the member `name`.
fn in_member(path: &Path, name: &str) -> bool {
    matches!(path.steps().first(), Some(Step::Key(key)) if key == name)
}

/// The names in the value of a `type` keyword.
fn types(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn valid(schema: Value, instance: Value) -> bool {
        let schema = Schema::new(&schema).unwrap();
        schema.check(&instance, Subject::Manifest).is_empty()
    }

    fn first(schema: Value, instance: Value) -> Problem {
        let subject = Subject::Module(ModuleKind::Stage, "org.osbuild.x");
        let problems = Schema::new(&schema).unwrap().check(&instance, subject);
        problems.into_iter().next().unwrap()
    }

    #[test]
    fn draft_4_as_the_peer_reads_it() {
        assert!(!valid(json!({"type": "integer"}), json!(1.0)));
        assert!(!valid(json!({"type": "integer"}), json!(true)));
        assert!(!valid(json!({"type": "number"}), json!(true)));
        assert!(valid(json!({"type": "number"}), json!(1.5)));
        // siblings of a reference, and keywords of later drafts
        let schema = json!({"$ref": "#/definitions/a", "type": "string", "definitions": {"a": {}}});
        assert!(valid(schema, json!(1)));
        for keyword in ["const", "if", "contains", "propertyNames", "$id", "then"] {
            let schema = json!({keyword: {"type": "string"}, "else": false});
            assert!(valid(schema, json!([1])), "{keyword}");
        }
        assert!(valid(json!({"format": "ipv4"}), json!("x")));
        assert!(valid(
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "const": 1}),
            json!(2)
        ));
        assert!(!valid(json!({"minimum": 1, "exclusiveMinimum": true}), json!(1)));
    }

    #[test]
    fn patterns_search_as_python_does() {
        assert!(valid(json!({"pattern": "b"}), json!("abc")));
        assert!(valid(json!({"pattern": "^a$"}), json!("a\n")));
        assert!(!valid(json!({"pattern": "^a$"}), json!("a\n\n")));
        assert!(!valid(json!({"pattern": r"^a\Z"}), json!("a\n")));
        let path = r"^\/(?!\.\.)((?!\/\.\.\/).)+$";
        assert!(valid(json!({"pattern": path}), json!("/etc/x")));
        assert!(!valid(json!({"pattern": path}), json!("/etc/../x")));
        let open = json!({"patternProperties": {"^a$": {}}, "additionalProperties": false});
        assert!(valid(open.clone(), json!({"a": 1})));
        let problem = first(open, json!({"b": 1}));
        assert_eq!(problem.message, "`b` is not of the form `^a$`");
    }

    #[test]
    fn problems_name_the_option_and_the_nearest_one() {
        let options = json!({"properties": {"hostname": {"type": "string"}}, "required": ["hostname"], "additionalProperties": false});
        let schema = json!({"properties": {"options": options}, "additionalProperties": false});
        let problem = first(
            schema.clone(),
            json!({"options": {"hostname": "a", "hostnme": 1}}),
        );
        assert_eq!(problem.message, "unknown option of org.osbuild.x: `hostnme`");
        assert_eq!(problem.path.to_string(), ".options");
        assert_eq!(problem.at.to_string(), ".options.hostnme");
        assert_eq!(problem.hint, None, "the option is there already");
        let subject = Subject::Module(ModuleKind::Stage, "org.osbuild.x");
        let problems = Schema::new(&schema)
            .unwrap()
            .check(&json!({"options": {"hostnme": 1}}), subject);
        let hints: Vec<_> = problems.iter().filter_map(|p| p.hint.as_deref()).collect();
        assert_eq!(hints, ["did you mean `hostname`?"]);
        assert!(
            problems
                .iter()
                .any(|p| p.message == "option `hostname` is missing")
        );
        let problem = first(schema.clone(), json!({"options": {"hostname": 5}}));
        assert_eq!(problem.message, "must be a string, not the number 5");
        assert_eq!(
            first(schema, json!({"inputs": {}})).message,
            "org.osbuild.x takes no inputs"
        );
    }

    #[test]
    fn forms_are_told_apart() {
        let schema = json!({"oneOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]});
        assert_eq!(
            first(schema.clone(), json!(5)).message,
            "must be a string or an object, not the number 5"
        );
        let problem = first(schema, json!({"a": 1}));
        assert_eq!(problem.hint.as_deref(), Some("for one of them, `id` is missing"));
        let referring = json!({"$ref": "#/definitions/a", "definitions": {"a": {"properties": {"name": {}}, "additionalProperties": false}}});
        assert_eq!(
            first(referring, json!({"nmae": 1})).hint.as_deref(),
            Some("did you mean `name`?")
        );
    }

    #[test]
    fn broken_schemas_are_told_not_panicked_on() {
        for schema in [
            json!({"type": 1}),
            json!({"pattern": "("}),
            json!({"$ref": "http://a.test/x"}),
            json!({"required": true}),
        ] {
            assert!(Schema::new(&schema).is_err(), "{schema}");
        }
    }
}
