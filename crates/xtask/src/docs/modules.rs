//! The modules there are, and what they say of themselves.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use manifest::ModuleKind;
use serde_json::Value;
use support::Binaries;

/// In the order of the documents.
pub(super) const KINDS: [ModuleKind; 6] = [
    ModuleKind::Stage,
    ModuleKind::Assembler,
    ModuleKind::Source,
    ModuleKind::Input,
    ModuleKind::Device,
    ModuleKind::Mount,
];

/// A module.
#[derive(Debug, Clone)]
pub(super) struct Module {
    pub(super) kind: ModuleKind,
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    /// Its `.meta.json`.
    pub(super) meta: Value,
}

/// All modules, by kind and name.
pub(super) fn all(binaries: &Binaries) -> Result<Vec<Module>> {
    let mut all = described(binaries)?;
    all.extend(sources::SOURCES.iter().map(|source| Module {
        kind: ModuleKind::Source,
        name: source.name.to_owned(),
        aliases: source.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        meta: (source.meta)(),
    }));
    all.extend(of_executor(binaries)?);
    let place = |kind| KINDS.iter().position(|other| *other == kind);
    all.sort_by(|a, b| (place(a.kind), &a.name).cmp(&(place(b.kind), &b.name)));
    Ok(all)
}

/// Stages and assemblers, which the executable that holds them describes.
fn described(binaries: &Binaries) -> Result<Vec<Module>> {
    let list = json_of(Command::new(binaries.modules()).arg("--describe"))?;
    let module = |meta: &Value| Module {
        kind: match meta["kind"].as_str() {
            Some("assemblers") => ModuleKind::Assembler,
            _ => ModuleKind::Stage,
        },
        name: text(&meta["name"]),
        aliases: list_of(&meta["aliases"]).map(text).collect(),
        meta: meta.clone(),
    };
    Ok(list_of(&list).map(module).collect())
}

/// Inputs, devices and mounts: the executor makes them, `osbuild` lists them.
fn of_executor(binaries: &Binaries) -> Result<Vec<Module>> {
    let list = json_of(Command::new(binaries.osbuild()).args(["modules", "--json"]))?;
    let module = |entry: &Value| {
        let kinds = [ModuleKind::Input, ModuleKind::Device, ModuleKind::Mount];
        let kind = kinds.into_iter().find(|kind| entry["kind"] == kind.noun())?;
        Some(Module {
            kind,
            name: text(&entry["name"]),
            aliases: Vec::new(),
            meta: entry["meta"].clone(),
        })
    };
    Ok(list_of(&list).filter_map(module).collect())
}

/// What a command prints, which is JSON.
fn json_of(command: &mut Command) -> Result<Value> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} does not print JSON"))
}

impl Module {
    /// The line that says what it does.
    pub(super) fn summary(&self) -> &str {
        self.meta["summary"].as_str().unwrap_or_default()
    }

    /// The text below the summary.
    pub(super) fn description(&self) -> String {
        match &self.meta["description"] {
            Value::Array(lines) => {
                let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
                lines.join("\n").trim().to_owned()
            }
            other => text(other).trim().to_owned(),
        }
    }
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
