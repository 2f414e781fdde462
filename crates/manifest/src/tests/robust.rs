//! Whatever is wrong with a manifest, there are problems and no panic.

use serde_json::{Value, json};

use super::{Few, shared};
use crate::{Path, Version, line_of, load, parse, validation_document, validation_text};

const TWO: &str = r#"{"version": "2", "metadata": {"exports": [{"name": "os"}]},
    "sources": {"org.osbuild.curl": {"items": {"sha256:a": "x"}, "options": {}}},
    "pipelines": [{"name": "build", "runner": "r", "source-epoch": 1, "stages": [{"type": "org.osbuild.noop", "options": {"a": 1}}]},
        {"name": "os", "build": "name:build", "stages": [
            {"type": "org.osbuild.noop", "options": {},
             "devices": {"d": {"type": "l", "options": {}}, "e": {"type": "l", "parent": "d"}},
             "inputs": {"i": {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [{"id": "sha256:a", "options": {}}]},
                        "t": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": {"name:build": {}}}},
             "mounts": [{"name": "m", "type": "e", "source": "e", "target": "/", "partition": 1, "options": {}}]}]}]}"#;
const ONE: &str = r#"{"pipeline": {"build": {"runner": "r", "pipeline": {"stages": [{"name": "a"}], "assembler": {"name": "z"}}},
    "stages": [{"name": "org.osbuild.rpm", "options": {"packages": ["x", {"checksum": "y", "check_gpg": true}]}},
               {"name": "org.osbuild.ostree", "options": {"commit": "c", "ref": "r"}}],
    "assembler": {"name": "org.osbuild.tar", "options": {}}}, "sources": {"org.osbuild.files": {"urls": {"x": "y"}}}}"#;
const OLDEST: &str = r#"{"name": "n", "base": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
    "build": {"stages": [{"name": "a"}], "build": {"pipeline": {}, "runner": "r"}}, "stages": [{"name": "b", "options": {}}],
    "assembler": {"name": "c"}, "sources": {}}"#;

/// Every value that is somewhere in `value`, by its pointer.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| pointers(value, format!("{at}/{}", key.replace('/', "~1")), found)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(n, value)| pointers(value, format!("{at}/{n}"), found)),
        _ => {}
    }
    found.push(at);
}

/// Loads a broken manifest in every way; whatever comes is a result, and an error has a place.
fn survives(value: &Value) {
    let text = value.to_string();
    for problems in [load(value, None), load(value, Some(&Few))]
        .into_iter()
        .filter_map(Result::err)
    {
        assert!(!problems.is_empty(), "{text}");
        validation_document(&problems);
        validation_text("x", &problems);
        for problem in problems {
            line_of(&text, &problem.at);
        }
    }
}

#[test]
fn valid_ones_are_valid() {
    for text in [TWO, ONE, OLDEST] {
        load(&parse(text).unwrap(), None).unwrap();
    }
}

#[test]
fn every_value_replaced_by_every_other() {
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("name:os"),
        json!("é x"),
        json!([]),
        json!([[]]),
        json!([null]),
        json!({}),
        json!({"": null}),
        json!({"a": {}}),
        json!(["a", "a"]),
        json!([{}]),
    ];
    for text in [TWO, ONE, OLDEST] {
        let value = parse(text).unwrap();
        let mut places = Vec::new();
        pointers(&value, String::new(), &mut places);
        for place in &places {
            for other in &others {
                let mut broken = value.clone();
                *broken.pointer_mut(place).unwrap() = other.clone();
                survives(&broken);
            }
        }
    }
}

#[test]
fn every_member_missing_renamed_or_doubled() {
    for text in [TWO, ONE, OLDEST] {
        let value = parse(text).unwrap();
        let mut places = Vec::new();
        pointers(&value, String::new(), &mut places);
        for place in places.iter().filter(|place| !place.is_empty()) {
            let (parent, key) = place.rsplit_once('/').unwrap();
            let mut broken = value.clone();
            let old = broken.pointer(place).unwrap().clone();
            match broken.pointer_mut(parent).unwrap() {
                Value::Object(map) => {
                    map.shift_remove(key);
                    survives(&Value::Object(map.clone()));
                    map.insert(format!("{key}x"), old);
                }
                Value::Array(list) => list.push(old),
                _ => unreachable!(),
            }
            survives(&broken);
        }
    }
}

#[test]
fn truncated_text_is_a_syntax_error() {
    for end in 0..TWO.len() {
        let error = parse(&TWO[..end]).unwrap_err();
        assert!(error.line >= 1 && error.column >= 1);
        line_of(
            &TWO[..end],
            &Path::root().key("pipelines").index(1).key("stages").index(0),
        );
    }
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    parse(&text).unwrap_err();
    line_of(&text, &Path::root().index(0).index(0));
}

#[test]
fn recorded_builds_load_or_have_problems() {
    let Some(folder) = shared("conformance/builds") else {
        return;
    };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.matches('.').count() != 1 {
            continue;
        }
        match parse(&std::fs::read_to_string(&path).unwrap()) {
            Ok(value) if Version::of(&value).is_some() => {
                if let Err(problems) = load(&value, None) {
                    println!("{name}: {}", problems[0]);
                }
            }
            Ok(_) => println!("{name}: unsupported format"),
            Err(error) => println!("{name}: {error}"),
        }
    }
}
