//! `osbuild modules`: what there is, what it takes and what it needs.

mod needs;

use std::process::ExitCode;

use executor::Library;
use manifest::{ModuleKind, Schemas, python_text};
use serde_json::{Value, json};

use crate::cli::Options;
use crate::{fail, fetcher, print};

const KINDS: [ModuleKind; 6] = [
    ModuleKind::Stage,
    ModuleKind::Assembler,
    ModuleKind::Source,
    ModuleKind::Input,
    ModuleKind::Device,
    ModuleKind::Mount,
];

/// Lists all modules, or describes those called `name` (`org.osbuild.` may be left out).
pub(crate) fn run(options: &Options, name: Option<&str>) -> ExitCode {
    let library = match Library::open(&options.libdir, fetcher::known, None) {
        Ok(library) => library,
        Err(error) => {
            fail::fatal(&error);
            return ExitCode::from(fail::FAILED);
        }
    };
    let mut all: Vec<(ModuleKind, String, Value)> = KINDS
        .iter()
        .flat_map(|kind| library.names(*kind).into_iter().map(|name| (*kind, name)))
        .filter(|(_, module)| {
            name.is_none_or(|name| module == name || *module == format!("org.osbuild.{name}"))
        })
        .filter_map(|(kind, name)| library.meta(kind, &name).map(|meta| (kind, name, meta)))
        .collect();
    for (kind, name, meta) in &mut all {
        needs::complete(meta, *kind, library.is_foreign(*kind, name));
    }
    if let Some(name) = name.filter(|_| all.is_empty()) {
        print::error(
            &format!("no module is called {name}"),
            Some("`osbuild modules` lists them"),
        );
        return ExitCode::from(fail::FAILED);
    }
    if options.json {
        let entry = |(kind, name, meta): &(ModuleKind, String, Value)| json!({"kind": kind.noun(), "name": name, "meta": meta});
        print::stdout(&format!(
            "{}\n",
            python_text(&all.iter().map(entry).collect::<Value>())
        ));
    } else if name.is_some() {
        let pages: Vec<String> = all
            .iter()
            .map(|(kind, name, meta)| page(*kind, name, meta))
            .collect();
        print::stdout(&pages.join("\n"));
    } else {
        print::stdout(&list(&all));
    }
    ExitCode::SUCCESS
}

fn list(all: &[(ModuleKind, String, Value)]) -> String {
    let width = all
        .iter()
        .map(|(_, name, _)| name.len())
        .max()
        .unwrap_or_default();
    let mut out = String::new();
    for kind in KINDS {
        if all.iter().all(|(its, ..)| *its != kind) {
            continue;
        }
        out.push_str(&format!("{}:\n", kind.folder()));
        for (_, name, meta) in all.iter().filter(|(its, ..)| *its == kind) {
            let line = format!(
                "  {name:<width$}  {}",
                meta["summary"].as_str().unwrap_or_default()
            );
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// What a module does, the options it takes and what it needs.
fn page(kind: ModuleKind, name: &str, meta: &Value) -> String {
    let summary = meta["summary"].as_str().unwrap_or("no description");
    let mut out = format!("{name} ({}): {summary}\n", kind.noun());
    let description = match &meta["description"] {
        Value::Array(lines) => lines
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("\n"),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    if !description.trim().is_empty() {
        out.push_str(&format!("\n{}\n", description.trim()));
    }
    // the newer form has the schema of the whole entry, the older one that of the options
    let schema = match &meta["schema_2"] {
        Value::Null => &meta["schema"],
        entry if entry["options"].is_object() => &entry["options"],
        entry if entry["properties"]["options"].is_object() => &entry["properties"]["options"],
        entry => entry,
    };
    let mut lines = Vec::new();
    options(schema, meta, 1, &mut lines);
    if !lines.is_empty() {
        out.push_str(&format!("\noptions:\n{}", lines.concat()));
    }
    let needs = needs::lines(meta);
    if !needs.is_empty() {
        out.push_str(&format!("\nneeds:\n{needs}"));
    }
    out
}

/// One line an option, those of objects and of lists of objects below it.
fn options(schema: &Value, root: &Value, depth: usize, out: &mut Vec<String>) {
    const DEEPEST: usize = 5;
    let schema = resolved(schema, root);
    let required: Vec<&str> = strings(&schema["required"]);
    let named = ["properties", "patternProperties"]
        .into_iter()
        .filter_map(|key| schema[key].as_object())
        .flatten();
    for (name, option) in named {
        let option = resolved(option, root);
        let must = if required.contains(&name.as_str()) {
            ", required"
        } else {
            ""
        };
        let text = option["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        let default = match &option["default"] {
            Value::Null => String::new(),
            value => format!(" (default {value})"),
        };
        let line = format!(
            "{}{name}: {}{must}  {text}{default}",
            "  ".repeat(depth),
            kind_of(option)
        );
        out.push(format!("{}\n", line.trim_end()));
        if depth < DEEPEST {
            options(option, root, depth + 1, out);
            if option["items"].is_object() {
                options(&option["items"], root, depth + 1, out);
            }
        }
    }
}

fn kind_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(_) => strings(&schema["type"]).join(" or "),
        _ => "any".to_owned(),
    }
}

/// Where a `$ref` leads, as far as it stays in the metadata.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) else {
        return schema;
    };
    ["", "/schema", "/schema_2", "/schema_2/options"]
        .iter()
        .find_map(|base| root.pointer(&format!("{base}{pointer}")))
        .unwrap_or(schema)
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_the_options() {
        let meta = json!({
            "summary": "Change names",
            "description": ["All of", "them."],
            "schema": {
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "The new one."},
                    "items": {"type": "array", "items": {"properties": {"x": {"enum": [1, "a"], "default": 1}}}},
                },
            },
        });
        assert_eq!(
            page(ModuleKind::Stage, "org.osbuild.names", &meta),
            "org.osbuild.names (stage): Change names\n\nAll of\nthem.\n\noptions:\n  name: string, required  The new one.\n  \
             items: array\n    x: 1 | \"a\"   (default 1)\n"
        );
    }
}
