//! Reads the compact form that the recorded schemas of the peer are kept in.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// The metadata of every module, by `folder/name`: `schema` and `schema_2`.
pub(super) fn read(text: &str) -> HashMap<String, Value> {
    let mut modules = HashMap::new();
    for block in text.split("\n### ").skip(1) {
        let (title, body) = block.split_once('\n').unwrap_or((block, ""));
        let name = title.split_whitespace().next().unwrap().to_owned();
        let lines: Vec<(usize, &str)> = body
            .lines()
            .take_while(|line| !line.starts_with("####"))
            .filter(|line| !line.trim().is_empty())
            .map(|line| (line.len() - line.trim_start().len(), line.trim()))
            .collect();
        let mut meta = Map::new();
        for (key, children) in groups(&lines) {
            let (version, flags) = key.split_once(':').unwrap();
            let node = node(flags.trim(), children);
            match (
                version,
                !name.starts_with("stages/") && !name.starts_with("assemblers/"),
            ) {
                ("v1", _) => meta.insert("schema".into(), node),
                (_, true) => meta.insert("schema_2".into(), node),
                _ => {
                    let mut map = node["properties"].as_object().cloned().unwrap_or_default();
                    if let Some(definitions) = node.get("definitions") {
                        map.insert("definitions".into(), definitions.clone());
                    }
                    meta.insert("schema_2".into(), map.into())
                }
            };
        }
        modules.insert(name, meta.into());
    }
    modules
}

/// The lines of the least depth, each with the deeper ones behind it.
fn groups<'a, 'b>(lines: &'b [(usize, &'a str)]) -> Vec<(&'a str, &'b [(usize, &'a str)])> {
    let Some(depth) = lines.first().map(|(depth, _)| *depth) else {
        return Vec::new();
    };
    let starts: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].0 <= depth).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (lines[*start].1, &lines[start + 1..end]))
        .collect()
}

fn node(flags: &str, children: &[(usize, &str)]) -> Value {
    let mut schema = words(flags);
    for (line, children) in groups(children) {
        if let Some(list) = line.strip_prefix("(required: ") {
            // names that are no property here; those that are have an asterisk
            let names = list.trim_end_matches(')').replace('\'', "\"");
            let names: Vec<Value> = serde_json::from_str(&names).unwrap();
            self::list(&mut schema, "required").extend(names);
            continue;
        }
        if let Some(other) = line.strip_prefix("not ") {
            schema.insert("not".into(), serde_json::from_str(other).unwrap());
            continue;
        }
        let (line, part) = match line.strip_prefix("def ") {
            Some(rest) => (rest, "definitions"),
            None => (line, "properties"),
        };
        if let Some((pattern, flags)) = line.strip_prefix('/').and_then(|l| l.rsplit_once("/:")) {
            entry(&mut schema, "patternProperties").insert(pattern.into(), node(flags.trim(), children));
            continue;
        }
        let (key, flags) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let value = node(flags.trim(), children);
        let choice = key
            .split_once('.')
            .filter(|(k, n)| k.ends_with("Of") && n.parse::<u8>().is_ok());
        match (key, choice) {
            (_, Some((choice, _))) => list(&mut schema, choice).push(value),
            ("[]", _) => drop(schema.insert("items".into(), value)),
            ("<other>", _) => drop(schema.insert("additionalProperties".into(), value)),
            (key, _) if key.starts_with('[') => list(&mut schema, "items").push(value),
            (key, _) => {
                let name = key.trim_end_matches('*');
                if key.ends_with('*') {
                    list(&mut schema, "required").push(name.into());
                }
                entry(&mut schema, part).insert(name.into(), value);
            }
        }
    }
    schema.into()
}

/// The words behind a name: type, `closed`, `KEYWORD=JSON`.
fn words(flags: &str) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut rest = flags;
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(text) = after.strip_prefix('=') {
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            schema.insert(word.into(), values.next().unwrap().unwrap());
            rest = text[values.byte_offset()..].trim_start();
            continue;
        }
        rest = after.trim_start();
        match word {
            "closed" => drop(schema.insert("additionalProperties".into(), false.into())),
            "+any" => drop(schema.insert("additionalProperties".into(), true.into())),
            "any" | "enum" | "oneOf" | "anyOf" | "allOf" => {}
            "ref" => {
                schema.insert("$ref".into(), format!("#/definitions/{rest}").into());
                rest = "";
            }
            kinds => {
                let kinds: Vec<&str> = kinds.split('|').collect();
                let value = if kinds.len() == 1 {
                    json!(kinds[0])
                } else {
                    json!(kinds)
                };
                schema.insert("type".into(), value);
            }
        }
    }
    schema
}

fn entry<'a>(schema: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    schema
        .entry(key)
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .unwrap()
}

fn list<'a>(schema: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    schema
        .entry(key)
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .unwrap()
}
