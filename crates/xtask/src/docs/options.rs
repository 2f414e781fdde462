//! From a schema to a table of options.

use serde_json::{Map, Value};

/// Deeper ones are left to the schema.
const DEEPEST: usize = 5;

/// An option, or a member of one.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// `a`, `a.b`; `a[].b` for the items of a list, `a.*.b` for the values of a map.
    pub(super) name: String,
    /// In Markdown, as are the others.
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) default: String,
    pub(super) text: String,
}

/// The options of an object's schema, members of members behind them. `root` is where references lead.
pub(super) fn rows(schema: &Value, root: &Value) -> Vec<Row> {
    let mut table = Table {
        root,
        rows: Vec::new(),
    };
    table.members("", schema, 0);
    table.rows
}

struct Table<'a> {
    root: &'a Value,
    rows: Vec<Row>,
}

impl<'a> Table<'a> {
    /// Adds the members of an object, of the objects in a list or of what a choice is between.
    fn members(&mut self, prefix: &str, schema: &'a Value, depth: usize) {
        if depth == DEEPEST {
            return;
        }
        let schema = self.resolved(schema);
        let required = &schema["required"];
        let properties = schema["properties"].as_object();
        for (name, member) in properties.into_iter().flatten() {
            let required = list(required).any(|required| required == name);
            self.row(join(prefix, name), member, required, depth);
        }
        for map in self.maps(schema) {
            let prefix = join(prefix, "*");
            self.members(&prefix, map, depth + 1);
        }
        if schema["items"].is_object() {
            self.members(&format!("{prefix}[]"), &schema["items"], depth + 1);
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            for variant in list(&schema[choice]) {
                self.members(prefix, variant, depth);
            }
        }
    }

    fn row(&mut self, name: String, schema: &'a Value, required: bool, depth: usize) {
        let schema = self.resolved(schema);
        // the variants of a choice may have the same member
        if !self.rows.iter().any(|row| row.name == name) {
            self.rows.push(Row {
                name: name.clone(),
                kind: self.kind(schema, 0),
                required,
                default: schema.get("default").map(code).unwrap_or_default(),
                text: cell(schema["description"].as_str().unwrap_or_default()),
            });
        }
        self.members(&name, schema, depth + 1);
    }

    /// The schemas of an object's values, where its keys are free.
    fn maps(&self, schema: &'a Value) -> Vec<&'a Value> {
        let patterns = schema["patternProperties"].as_object();
        let additional = Some(&schema["additionalProperties"]).filter(|more| more.is_object());
        patterns
            .into_iter()
            .flat_map(Map::values)
            .chain(additional)
            .collect()
    }

    /// What values it may have.
    fn kind(&self, schema: &'a Value, depth: usize) -> String {
        let schema = self.resolved(schema);
        if let Some(values) = schema["enum"].as_array() {
            return either(values.iter().map(code));
        }
        for choice in ["anyOf", "oneOf"] {
            if schema[choice].is_array() && depth < DEEPEST {
                let kinds = list(&schema[choice]).map(|variant| self.kind(variant, depth + 1));
                let kinds: Vec<String> = kinds.filter(|kind| kind != ANY).collect();
                if !kinds.is_empty() {
                    return either(kinds.into_iter());
                }
            }
        }
        match &schema["type"] {
            Value::String(name) => self.plain(name, schema, depth),
            Value::Array(names) => either(names.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ if schema["properties"].is_object() => "object".to_owned(),
            _ => ANY.to_owned(),
        }
    }

    fn plain(&self, name: &str, schema: &'a Value, depth: usize) -> String {
        match name {
            "array" if schema["items"].is_object() && depth < DEEPEST => {
                match self.kind(&schema["items"], depth + 1).as_str() {
                    ANY => "list".to_owned(),
                    kind => format!("list of {kind}"),
                }
            }
            "array" => "list".to_owned(),
            "object" if schema["properties"].is_null() && !self.maps(schema).is_empty() => "map".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Where a `$ref` leads, as far as it stays in the metadata.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) else {
            return schema;
        };
        ["", "/schema", "/schema_2", "/schema_2/options"]
            .iter()
            .find_map(|base| self.root.pointer(&format!("{base}{pointer}")))
            .unwrap_or(schema)
    }
}

const ANY: &str = "any";

fn join(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Alternatives, each said once.
fn either(kinds: impl Iterator<Item = String>) -> String {
    let mut said: Vec<String> = Vec::new();
    for kind in kinds {
        if !said.contains(&kind) {
            said.push(kind);
        }
    }
    said.join(" or ")
}

/// A value as it is written in a manifest.
fn code(value: &Value) -> String {
    format!("`{}`", value.to_string().replace('|', "\\|"))
}

/// A text that fits into a cell of a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_of_members_have_rows() {
        let schema = json!({
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "One |\n  two."},
                "size": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 1},
                "users": {"type": "object", "additionalProperties": {"$ref": "#/definitions/user"}},
                "list": {"type": "array", "items": {"properties": {"on": {"enum": ["a", "b"]}}}},
            },
            "definitions": {"user": {"type": "object", "properties": {"uid": {"type": ["integer", "null"]}}}},
        });
        let rows = rows(&schema, &schema);
        let short: Vec<String> = rows
            .iter()
            .map(|row| format!("{}: {} {} {}", row.name, row.kind, row.required, row.default))
            .collect();
        assert_eq!(
            short,
            [
                "name: string true ",
                "size: integer or string false `1`",
                "users: map false ",
                "users.*.uid: integer or null false ",
                "list: list of object false ",
                "list[].on: `\"a\"` or `\"b\"` false ",
            ]
        );
        assert_eq!(rows[0].text, "One \\| two.");
    }
}
