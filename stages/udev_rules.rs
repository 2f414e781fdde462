//! Write a file of rules for udev.
//!
//! Each item of `rules` is a comment or a rule: a list of matches and assignments. The file's directory must be in the
//! tree; what was in the file is replaced. See udev(7).

use module::{Args, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

const MATCHED: &[&str] = &[
    "ACTION",
    "DEVPATH",
    "KERNEL",
    "KERNELS",
    "NAME",
    "SYMLINK",
    "SUBSYSTEM",
    "SUBSYSTEMS",
    "DRIVER",
    "DRIVERS",
    "TAG",
    "TAGS",
    "PROGRAM",
    "RESULT",
];
const MATCHED_WITH_ARGUMENT: &[&str] = &["ATTR", "ATTRS", "SYSCTL", "ENV", "CONST", "TEST"];
const ASSIGNED: &[&str] = &[
    "NAME", "SYMLINK", "OWNER", "GROUP", "MODE", "TAG", "LABEL", "GOTO", "OPTIONS",
];
const ASSIGNED_WITH_ARGUMENT: &[&str] = &["SECLABEL", "ATTR", "SYSCTL", "ENV", "RUN", "IMPORT"];

/// Options of `org.osbuild.udev.rules`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Path of the file.
    #[schemars(regex(pattern = r"^[.\/\w\-_]{1,250}.rules$"))]
    filename: String,
    /// Comments and rules.
    #[schemars(schema_with = "rules_schema")]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rule {
    Comment { comment: Vec<String> },
    Items(Vec<Item>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    key: Key,
    op: String,
    val: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Key {
    Name(String),
    Named { name: String, arg: Option<String> },
}

module::stage! { file: "udev_rules.rs", name: "org.osbuild.udev.rules", options: Options, run: run }

fn rules_schema(_: &mut SchemaGenerator) -> Schema {
    let matches = item_schema(&["==", "!="], MATCHED, MATCHED_WITH_ARGUMENT);
    let assignment = item_schema(&["=", "+=", "-=", ":="], ASSIGNED, ASSIGNED_WITH_ARGUMENT);
    json_schema!({"type": "array", "items": {"oneOf": [
        {
            "type": "object",
            "additionalProperties": false,
            "required": ["comment"],
            "properties": {"comment": {"type": "array", "items": {"type": "string"}}},
        },
        {"type": "array", "items": {"oneOf": [matches, assignment]}},
    ]}})
}

/// A match or an assignment: which operators it takes, which keys, and which of them with an argument.
fn item_schema(operators: &[&str], keys: &[&str], with_argument: &[&str]) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "required": ["key", "op", "val"],
        "properties": {
            "op": {"type": "string", "enum": operators},
            "val": {"type": "string"},
            "key": {"oneOf": [
                {"type": "string", "enum": keys},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "enum": keys}},
                },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name", "arg"],
                    "properties": {"name": {"type": "string", "enum": with_argument}, "arg": {"type": "string"}},
                },
            ]},
        },
    })
}

fn run(args: Args<Options>) -> Result<()> {
    let mut text = String::new();
    for rule in &args.options.rules {
        match rule {
            Rule::Comment { comment } => comment.iter().for_each(|line| {
                text.push_str(&format!("# {line}\n"));
            }),
            Rule::Items(items) => {
                let items: Vec<String> = items.iter().map(item).collect();
                text.push_str(&items.join(", "));
                text.push('\n');
            }
        }
    }
    Ok(args.tree.write(&args.options.filename, text)?)
}

fn item(item: &Item) -> String {
    let key = match &item.key {
        Key::Name(name) | Key::Named { name, arg: None } => name.clone(),
        Key::Named { name, arg: Some(arg) } => format!("{name}{{{arg}}}"),
    };
    format!("{key}{}\"{}\"", item.op, item.val.replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comments_and_quotes() {
        let dir = tempfile::tempdir().unwrap();
        let rules = json!([
            {"comment": ["one", "two"]},
            [{"key": "KERNEL", "op": "==", "val": "sd*"}, {"key": {"name": "ENV", "arg": "X"}, "op": "=", "val": "a\"b"}],
        ]);
        let options = json!({"filename": "/x.rules", "rules": rules});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("x.rules")).unwrap(),
            "# one\n# two\nKERNEL==\"sd*\", ENV{X}=\"a\\\"b\"\n"
        );
    }
}
