//! One JSON Schema for whole manifests of a format, Draft 7: the manifest's own structure, and for each entry the schema
//! of the module that it names.
//!
//! Modules are chosen by `if`, so that a mistake is told of the module that was meant and of no other. Names that begin
//! with `org.osbuild.` must be known; others may be modules of a library directory.

use manifest::{ModuleKind, Version, assemble_schema};
use serde_json::{Map, Value, json};

use super::draft7::convert;
use super::modules::Module;
use super::unpinned;

/// The schema of manifests of `version`; `structure` is that of their structure alone.
pub(super) fn schema(version: Version, structure: Value, modules: &[Module]) -> Value {
    let modules = [modules, &unpinned::all()[..]].concat();
    let mut editor = Editor {
        version,
        root: structure,
    };
    convert(&mut editor.root, "#");
    match version {
        Version::One => {
            editor.choose("stage", "name", &[ModuleKind::Stage], &modules);
            editor.choose("assembler", "name", &[ModuleKind::Assembler], &modules);
            let sources = editor.root["definitions"]["sources"].take();
            editor.root["definitions"]["sources"] = editor.sources(sources, &modules);
        }
        Version::Two => {
            // an assembler may stand where a stage does
            let stages = [ModuleKind::Stage, ModuleKind::Assembler];
            editor.choose("stage", "type", &stages, &modules);
            for kind in [ModuleKind::Input, ModuleKind::Device, ModuleKind::Mount] {
                editor.choose(kind.noun(), "type", &[kind], &modules);
            }
            let sources = editor.root["properties"]["sources"].take();
            editor.root["properties"]["sources"] = editor.sources(sources, &modules);
        }
    }
    editor.finish()
}

/// Lets manifests of format 1 be of the oldest form too, whose structure is `oldest`: what stands in a pipeline stands at
/// the top there.
pub(super) fn or_oldest(mut schema: Value, mut oldest: Value) -> Value {
    convert(&mut oldest, "#/definitions/oldest");
    for name in ["stage", "assembler"] {
        oldest["definitions"][name] = json!({"$ref": format!("#/definitions/{name}")});
    }
    oldest["properties"]["sources"] = json!({"$ref": "#/definitions/sources"});
    let mut newer = Map::new();
    if let Some(root) = schema.as_object_mut() {
        for key in ["type", "additionalProperties", "properties"] {
            newer.extend(root.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
    }
    let any = ["stages", "assembler", "build", "base", "name"].map(|key| json!({"required": [key]}));
    schema["if"] = json!({"not": {"required": ["pipeline"]}, "anyOf": any});
    schema["then"] = json!({"$ref": "#/definitions/oldest"});
    schema["else"] = newer.into();
    schema["definitions"]["oldest"] = oldest;
    schema
}

struct Editor {
    version: Version,
    root: Value,
}

impl Editor {
    /// The schema, with what it is on top.
    fn finish(self) -> Value {
        let number = match self.version {
            Version::One => 1,
            Version::Two => 2,
        };
        let mut root = Map::from_iter([
            (
                "$schema".to_owned(),
                "http://json-schema.org/draft-07/schema#".into(),
            ),
            ("title".to_owned(), Value::Null),
        ]);
        if let Value::Object(map) = self.root {
            root.extend(map);
        }
        root.insert(
            "title".to_owned(),
            format!("osbuild manifest, format {number}").into(),
        );
        root.into()
    }

    /// Lets the definition `entry` be one of the modules of `kinds`, which its member `key` names; of two with one name the
    /// first kind counts.
    fn choose(&mut self, entry: &str, key: &str, kinds: &[ModuleKind], modules: &[Module]) {
        let (mut names, mut summaries, mut choices) = (Vec::new(), Vec::new(), Vec::new());
        for (name, module) in of_kinds(kinds, modules) {
            let Some(schema) = self.of_module(entry, name, module) else {
                continue;
            };
            if names.contains(&name) {
                continue;
            }
            let place = format!("{entry}:{name}");
            choices.push(json!({
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"$ref": format!("#/definitions/{place}")},
            }));
            self.root["definitions"][place] = schema;
            names.push(name);
            summaries.push(module.summary());
        }
        let definition = &mut self.root["definitions"][entry];
        definition["properties"][key] = json!({
            "type": "string",
            "anyOf": [{"enum": names, "enumDescriptions": summaries}, {"pattern": FOREIGN}],
        });
        definition["allOf"] = choices.into();
    }

    /// The schema of a manifest's entry for a module.
    fn of_module(&self, entry: &str, name: &str, module: &Module) -> Option<Value> {
        let mut schema = assemble_schema(module.kind, name, self.version, &module.meta)?;
        if module.kind == ModuleKind::Assembler && self.version == Version::Two {
            let properties = schema["properties"].as_object_mut()?;
            let free = || json!({"type": "object"});
            properties.entry("inputs").or_insert_with(free);
        }
        convert(&mut schema, &format!("#/definitions/{entry}:{name}"));
        let description = format!("{}\n\n{}", module.summary(), module.description());
        let described = match schema.pointer_mut("/properties/options") {
            Some(Value::Object(options)) => options,
            _ => schema.as_object_mut()?,
        };
        described.insert("description".into(), description.trim().into());
        schema["title"] = name.into();
        Some(schema)
    }

    /// The map of sources, whose keys are the names of modules.
    fn sources(&mut self, mut map: Value, modules: &[Module]) -> Value {
        let any = map["additionalProperties"].clone();
        let mut properties = Map::new();
        for (name, module) in of_kinds(&[ModuleKind::Source], modules) {
            let Some(schema) = self.of_module("source", name, module) else {
                continue;
            };
            let place = format!("source:{name}");
            let to = json!({"$ref": format!("#/definitions/{place}")});
            self.root["definitions"][place] = schema;
            properties.insert(name.to_owned(), json!({"allOf": [any, to]}));
        }
        let names: Vec<&String> = properties.keys().collect();
        map["propertyNames"] = json!({"anyOf": [{"enum": names}, {"pattern": FOREIGN}]});
        map["properties"] = properties.into();
        map
    }
}

/// Names that are no module of ours.
const FOREIGN: &str = "^(?!org\\.osbuild\\.)";

/// Modules under each of their names, kind after kind.
fn of_kinds<'a>(
    kinds: &'a [ModuleKind],
    modules: &'a [Module],
) -> impl Iterator<Item = (&'a str, &'a Module)> {
    kinds
        .iter()
        .flat_map(|kind| modules.iter().filter(move |module| module.kind == *kind))
        .flat_map(|module| {
            let names = std::iter::once(&module.name).chain(&module.aliases);
            names.map(move |name| (name.as_str(), module))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(kind: ModuleKind, name: &str, meta: Value) -> Module {
        Module {
            kind,
            name: name.into(),
            aliases: vec![format!("{name}2")],
            meta,
        }
    }

    #[test]
    fn each_entry_has_the_schema_of_its_module() {
        let meta = json!({"summary": "Do it", "schema": {"properties": {"a": {"$ref": "#/definitions/a"}},
            "definitions": {"a": {"minimum": 0, "exclusiveMinimum": true}}}});
        let modules = [
            module(ModuleKind::Stage, "org.osbuild.x", meta.clone()),
            module(ModuleKind::Assembler, "org.osbuild.x", meta.clone()),
            module(
                ModuleKind::Source,
                "org.osbuild.s",
                json!({"schema_2": {"required": ["items"]}}),
            ),
        ];
        let structure = super::super::structure("format2").unwrap();
        let schema = schema(Version::Two, structure, &modules);
        let stage = &schema["definitions"]["stage"];
        let names = &stage["properties"]["type"]["anyOf"][0]["enum"];
        assert_eq!(
            (&names[0], &names[1]),
            (&json!("org.osbuild.x"), &json!("org.osbuild.x2"))
        );
        assert_eq!(
            stage["allOf"][1]["then"]["$ref"],
            "#/definitions/stage:org.osbuild.x2"
        );
        let of_x = &schema["definitions"]["stage:org.osbuild.x"];
        assert_eq!(
            of_x["properties"]["options"]["properties"]["a"]["$ref"],
            "#/definitions/stage:org.osbuild.x/definitions/a"
        );
        assert_eq!(of_x["definitions"]["a"], json!({"exclusiveMinimum": 0}));
        assert_eq!(
            schema["definitions"]["source:org.osbuild.s"]["required"][0],
            "items"
        );
    }
}
