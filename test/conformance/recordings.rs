//! The recordings, and which of them can be replayed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::{TestEnv, repository};

/// Every JSON file of a part (`builds`, `ids`), by its name without `.json`; none where there are no recordings, which is said.
pub fn documents(part: &str) -> Vec<(String, Value)> {
    let folder = folder().join(part);
    let Ok(list) = std::fs::read_dir(&folder) else {
        println!("skipped: there are no recordings in {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = list.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let document = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (file.file_stem().unwrap().to_string_lossy().into_owned(), document)
    };
    files.into_iter().map(read).collect()
}

/// Where they are.
pub fn folder() -> PathBuf {
    repository().join("../shared/conformance")
}

/// The checkout of the Python osbuild, as an option of the command.
pub fn peer() -> Option<String> {
    let checkout = std::env::var("PEER_OSBUILD")
        .ok()
        .filter(|path| !path.is_empty())?;
    Some(format!("--libdir={checkout}"))
}

/// A kind of modules (`stage`) and a name.
pub type Module = (&'static str, String);

/// The modules of ours.
pub struct Ours(BTreeSet<(String, String)>);

impl Ours {
    pub fn new() -> Self {
        let list = TestEnv::new().osbuild(["modules", "--json"]).expect(0).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let modules = list.as_array().unwrap().iter();
        Self(
            modules
                .map(|entry| (text(&entry["kind"]), text(&entry["name"])))
                .collect(),
        )
    }

    pub fn has(&self, (kind, name): &Module) -> bool {
        self.0.contains(&((*kind).to_owned(), name.clone()))
    }

    /// Those that a manifest uses and that are not ours, as `stage org.osbuild.x`.
    pub fn missing(&self, manifest: &Value) -> Vec<String> {
        let missing = used(manifest).into_iter().filter(|module| !self.has(module));
        missing.map(|(kind, name)| format!("{kind} {name}")).collect()
    }
}

/// The modules that a manifest uses.
pub fn used(manifest: &Value) -> BTreeSet<Module> {
    let mut used = BTreeSet::new();
    let mut add = |kind, name: &Value| used.extend(name.as_str().map(|name| (kind, name.to_owned())));
    for name in names(&manifest["sources"]) {
        // the old name of one
        let name = if name == "org.osbuild.files" {
            "org.osbuild.curl"
        } else {
            name
        };
        add("source", &name.into());
    }
    for stage in manifest["pipelines"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|p| items(&p["stages"]))
    {
        add("stage", &stage["type"]);
        for (key, kind) in [("inputs", "input"), ("devices", "device")] {
            stage[key]
                .as_object()
                .into_iter()
                .flatten()
                .for_each(|(_, entry)| add(kind, &entry["type"]));
        }
        items(&stage["mounts"])
            .iter()
            .for_each(|mount| add("mount", &mount["type"]));
    }
    let mut pipeline = &manifest["pipeline"];
    while pipeline.is_object() {
        items(&pipeline["stages"])
            .iter()
            .for_each(|stage| add("stage", &stage["name"]));
        if pipeline["assembler"].is_object() {
            add("assembler", &pipeline["assembler"]["name"]);
        }
        pipeline = &pipeline["build"]["pipeline"];
    }
    used
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn names(map: &Value) -> impl Iterator<Item = &str> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

/// A document without what a module prints, how a mistake is worded, and what is in ours beside the recorded.
pub fn essence(document: &Value) -> Value {
    match document {
        Value::Object(map) => {
            let known = map
                .iter()
                .filter(|(key, _)| *key != "statistics" && *key != "sandbox");
            let members = known.map(|(key, value)| {
                let value = match key.as_str() {
                    "output" | "message" => json!(null),
                    "error" if value.is_string() => json!(null),
                    "errors" => sorted(essence(value)),
                    _ => essence(value),
                };
                (key.clone(), value)
            });
            members.collect()
        }
        Value::Array(list) => list.iter().map(essence).collect(),
        other => other.clone(),
    }
}

/// A document without the members of this name, wherever they are.
pub fn without(document: &Value, name: &str) -> Value {
    match document {
        Value::Object(map) => {
            let others = map.iter().filter(|(key, _)| *key != name);
            others
                .map(|(key, value)| (key.clone(), without(value, name)))
                .collect()
        }
        Value::Array(list) => list.iter().map(|value| without(value, name)).collect(),
        other => other.clone(),
    }
}

/// The mistakes, those of one place as one: how many there are of it is a matter of words too.
fn sorted(list: Value) -> Value {
    let all: BTreeSet<String> = items(&list).iter().map(ToString::to_string).collect();
    json!(all)
}
