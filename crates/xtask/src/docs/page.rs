//! `docs/modules.md`: a table of all modules, then a section for each.

use std::fmt::Write;

use manifest::ModuleKind;
use serde_json::Value;

use super::modules::{KINDS, Module};
use super::options::{Row, rows};

const HEAD: &str = "# Modules

What a manifest may name: by kind, then one by one. `osbuild modules` shows the same in the terminal,
`osbuild modules NAME` a single one. Of options, `a.b` is a member of `a`, `a[].b` one of each item of the list `a`,
`a.*.b` one of each value of the map `a`.

`cargo xtask docs` writes this page, from the modules' own words.
";

/// The whole page.
pub(super) fn text(modules: &[Module]) -> String {
    let mut out = HEAD.to_owned();
    for kind in KINDS {
        let of_kind = modules.iter().filter(|module| module.kind == kind);
        let _ = write!(out, "\n## {}\n\n| name | |\n|---|---|\n", heading(kind));
        for module in of_kind {
            let (name, anchor) = (&module.name, anchor(module));
            let summary = module.summary().replace('|', "\\|");
            let _ = writeln!(out, "| [{name}](#{anchor}) | {summary} |");
        }
    }
    for kind in KINDS {
        for module in modules.iter().filter(|module| module.kind == kind) {
            out.push_str(&section(module));
        }
    }
    out
}

fn heading(kind: ModuleKind) -> String {
    let mut name = kind.folder().to_owned();
    name[..1].make_ascii_uppercase();
    name
}

fn anchor(module: &Module) -> String {
    format!("{}-{}", module.kind.noun(), module.name)
}

/// All that is said of one module.
fn section(module: &Module) -> String {
    let (name, noun, anchor) = (&module.name, module.kind.noun(), anchor(module));
    let mut out = format!("\n<a id=\"{anchor}\"></a>\n\n### {name} ({noun})\n\n");
    if !module.summary().is_empty() {
        let _ = writeln!(out, "{}.", module.summary());
    }
    let description = lowered(&module.description());
    if !description.is_empty() {
        let _ = write!(out, "\n{description}\n");
    }
    if !module.aliases.is_empty() {
        let names: Vec<String> = module.aliases.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(out, "\nAlso called {}.\n", names.join(", "));
    }
    out.push_str(&taken(&module.meta));
    let (what, schema) = options(module);
    out.push_str(&table(what, &rows(schema, &module.meta)));
    out
}

/// A text whose headings stand below those of the page.
fn lowered(text: &str) -> String {
    let mut code = false;
    let line = |line: &str| {
        code ^= line.trim_start().starts_with("```");
        match line.starts_with('#') && !code {
            true => format!("###{line}"),
            false => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What a stage takes beside its options.
fn taken(meta: &Value) -> String {
    let mut out = String::new();
    for what in ["inputs", "devices", "mounts"] {
        let Some(schema) = meta["schema_2"].get(what).filter(|schema| schema.is_object()) else {
            continue;
        };
        let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
        let names = schema["properties"].as_object().into_iter().flatten();
        let names: Vec<String> = names
            .map(
                |(name, _)| match required.iter().any(|required| *required == name) {
                    true => format!("`{name}` (required)"),
                    false => format!("`{name}`"),
                },
            )
            .collect();
        let _ = match names.is_empty() {
            true => write!(out, "\nTakes {what}.\n"),
            false => write!(out, "\nTakes {what}: {}.\n", names.join(", ")),
        };
    }
    out
}

/// What the options of a module are called, and their schema: of a source, an input or a mount it is the whole entry's.
fn options(module: &Module) -> (&'static str, &Value) {
    let meta = &module.meta;
    match (module.kind, &meta["schema_2"]) {
        (ModuleKind::Source | ModuleKind::Input | ModuleKind::Mount, entry) if entry.is_object() => {
            ("member", entry)
        }
        (ModuleKind::Device, options) if options.is_object() => ("option", options),
        (_, entry) if entry["options"].is_object() => ("option", &entry["options"]),
        _ => ("option", &meta["schema"]),
    }
}

fn table(what: &str, rows: &[Row]) -> String {
    if rows.is_empty() {
        return "\nIt takes no options.\n".to_owned();
    }
    let mut out = format!("\n| {what} | type | default | |\n|---|---|---|---|\n");
    for row in rows {
        let default = match row.required {
            true => "required",
            false => &row.default,
        };
        let (name, kind, text) = (&row.name, &row.kind, &row.text);
        let _ = writeln!(out, "| `{name}` | {kind} | {default} | {text} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_module_has_a_line_and_a_section() {
        let module = Module {
            kind: ModuleKind::Stage,
            name: "org.osbuild.x".into(),
            aliases: vec!["org.osbuild.y".into()],
            meta: json!({
                "summary": "Do it", "description": ["# More", "```", "# code", "```"],
                "schema": {"required": ["a"], "properties": {"a": {"type": "string", "description": "The a."}}},
                "schema_2": {"options": {"required": ["a"], "properties": {"a": {"type": "string", "description": "The a."}}},
                    "inputs": {"properties": {"tree": {}}, "required": ["tree"]}},
            }),
        };
        let text = text(&[module]);
        assert!(text.contains("| [org.osbuild.x](#stage-org.osbuild.x) | Do it |\n"));
        let section = "### org.osbuild.x (stage)\n\nDo it.\n\n#### More\n```\n# code\n```\n\nAlso called `org.osbuild.y`.\n\n\
             Takes inputs: `tree` (required).\n\n| option | type | default | |\n|---|---|---|---|\n\
             | `a` | string | required | The a. |\n";
        assert!(text.ends_with(section), "{text}");
    }
}
