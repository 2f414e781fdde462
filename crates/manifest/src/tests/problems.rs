//! Mistakes in format 2: each with its place, its sentence and its hint.

use super::{Few, good, problems};
use crate::{ModuleKind, line_of, load, parse};

/// The problems of a manifest with these pipelines, as `place: message (hint)`.
fn said(pipelines: &str) -> Vec<String> {
    let text = format!(
        r#"{{"version": "2", "sources": {{"org.osbuild.curl": {{"items": {{"sha256:a": "x"}}}}}}, "pipelines": [{pipelines}]}}"#
    );
    let said = problems(&text, Some(&Few)).into_iter().map(|p| {
        assert!(line_of(&text, &p.at).is_some(), "{p} is nowhere in the text");
        format!("{p} ({})", p.hint.as_deref().unwrap_or_default())
    });
    said.collect()
}

#[test]
fn misspelt_options_and_modules() {
    assert_eq!(
        said(
            r#"{"name": "os", "stages": [{"type": "org.osbuild.hostname", "options": {"hostnme": "a"}, "option": 1},
            {"type": "org.osbuild.qcow"}, {"type": "org.osbuild.hostname", "inputs": {}}]}"#
        ),
        [
            ".pipelines[0].stages[0].option: unknown member of this stage: `option` ()",
            ".pipelines[0].stages[0].options: option `hostname` is missing ()",
            ".pipelines[0].stages[0].options.hostnme: unknown option of org.osbuild.hostname: `hostnme` (did you mean `hostname`?)",
            ".pipelines[0].stages[1].type: no stage is called org.osbuild.qcow (did you mean `org.osbuild.qcow2`, which is an assembler?)",
            ".pipelines[0].stages[2].inputs: org.osbuild.hostname takes no inputs ()",
        ]
    );
}

#[test]
fn wrong_types() {
    assert_eq!(
        said(r#"{"name": 5, "source-epoch": 1.0, "stages": {}}, 7, {"stages": [[], {"type": null}]}"#),
        [
            ".pipelines[0].name: must be a string, not the number 5 ()",
            ".pipelines[0].source-epoch: must be an integer, not the number 1.0 ()",
            ".pipelines[0].stages: must be an array, not an object ()",
            ".pipelines[1]: must be an object, not the number 7 ()",
            ".pipelines[2]: `name` is missing ()",
            ".pipelines[2].stages[0]: must be an object, not an array ()",
            ".pipelines[2].stages[1].type: must be a string, not null ()",
        ]
    );
}

#[test]
fn references_that_lead_nowhere() {
    let input = |references: &str, origin: &str| {
        format!(
            r#"{{"type": "org.osbuild.noop", "inputs": {{"x": {{"type": "org.osbuild.tree", "origin": "org.osbuild.{origin}",
                "references": {references}}}}}}}"#
        )
    };
    assert_eq!(
        said(&format!(
            r#"{{"name": "os", "build": "name:os", "stages": [{}, {}]}}, {{"name": "os", "build": "os", "stages": [{}, {}]}},
               {{"name": "z", "build": "{}"}}"#,
            input(r#"["name:z"]"#, "pipeline"),
            input(r#"["sha256:b", "sha256:c"]"#, "source"),
            input(r#"{"name:oss": {}}"#, "pipeline"),
            input("[]", "source"),
            "a".repeat(64),
        )),
        [
            ".pipelines[0].build: no pipeline before this one is called `os` (a pipeline may only use those before it: change their order)",
            ".pipelines[0].stages[0].inputs.x.references: no pipeline before this one is called `z` (a pipeline may only use those before it: change their order)",
            ".pipelines[0].stages[1].inputs.x.references: no source has the item `sha256:b`, nor 1 more of these references (did you mean `sha256:a`?)",
            ".pipelines[1].build: `os` is neither `name:` with the name of a pipeline nor an id (did you mean `name:os`?)",
            ".pipelines[1].name: an earlier pipeline is called `os` as well ()",
            ".pipelines[1].stages[0].inputs.x.references: no pipeline before this one is called `oss` (did you mean `os`?)",
            ".pipelines[1].stages[1].inputs.x.references: must not be empty ()",
            &format!(
                ".pipelines[2].build: no pipeline has the id {} (name the pipeline, as in `name:build`: its id changes with its stages)",
                "a".repeat(64)
            ),
        ]
    );
}

#[test]
fn devices_and_mounts() {
    let text = r#"{"version": "2", "pipelines": [{"name": "p", "stages": [{"type": "x",
        "devices": {"disk": {"type": "l"}, "a": {"type": "l", "parent": "dsik"}, "b": {"type": "l", "parent": "c"},
                    "c": {"type": "l", "parent": "b"}},
        "mounts": [{"name": "m", "type": "e", "source": "diks"}, {"name": "m", "type": "e", "source": "disk", "partition": 1.5}]}]}]}"#;
    let found: Vec<String> = problems(text, None)
        .into_iter()
        .map(|p| format!("{p} ({})", p.hint.as_deref().unwrap_or_default()))
        .collect();
    let stage = ".pipelines[0].stages[0]";
    assert_eq!(
        found,
        [
            format!(
                "{stage}.devices.a.parent: no device of this stage is called `dsik` (did you mean `disk`?)"
            ),
            format!("{stage}.devices.b.parent: device `c` has no parent that can be opened first ()"),
            format!("{stage}.devices.c.parent: device `b` has no parent that can be opened first ()"),
            format!(
                "{stage}.mounts[0].source: no device of this stage is called `diks` (did you mean `disk`?)"
            ),
            format!("{stage}.mounts[1].name: an earlier mount of this stage is called `m` as well ()"),
            format!("{stage}.mounts[1].partition: a partition has a whole number, from 1 ()"),
        ]
    );
}

#[test]
fn formats_nobody_knows() {
    for text in [r#"{"version": 2}"#, r#"{"version": "3"}"#, r#"{"version": null}"#] {
        let found = problems(text, None);
        assert!(
            found[0].message.starts_with("unsupported manifest format"),
            "{found:?}"
        );
    }
    let found = problems(r#"{"pipelines": []}"#, None);
    assert_eq!(
        found[0].hint.as_deref(),
        Some("`pipelines` belongs to format 2: add `\"version\": \"2\"`")
    );
    for text in ["[]", "null", "\"x\"", "3"] {
        assert_eq!(problems(text, Some(&Few))[0].path.to_string(), ".", "{text}");
    }
}

#[test]
fn assemblers_as_stages() {
    let stage = r#"{"type": "org.osbuild.qcow2", "options": {"filename": "x"}, "inputs": {"tree":
        {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:os"]}}}"#;
    let text = format!(
        r#"{{"version": "2", "pipelines": [{{"name": "os", "stages": [{{"type": "org.osbuild.noop"}}]}},
            {{"name": "image", "stages": [{stage}]}}]}}"#
    );
    let manifest = load(&parse(&text).unwrap(), Some(&Few)).unwrap();
    assert_eq!(manifest.pipelines[0].stages[0].kind, ModuleKind::Stage);
    assert_eq!(manifest.pipelines[1].stages[0].kind, ModuleKind::Assembler);
    assert_eq!(
        said(r#"{"name": "os", "stages": [{"type": "org.osbuild.noop"}, {"type": "org.osbuild.qcow2"}]}"#),
        [
            ".pipelines[0].stages[1]: the assembler org.osbuild.qcow2 must be the first stage of its pipeline (put it into a pipeline of its own, after this one)",
            ".pipelines[0].stages[1]: the assembler org.osbuild.qcow2 needs an input `tree` (of type `org.osbuild.tree`, origin `org.osbuild.pipeline`, references [`name:PIPELINE`])",
        ]
    );
}

#[test]
fn builds_and_runners() {
    let manifest = good(
        r#"{"version": "2", "pipelines": [
            {"name": "empty", "runner": "no"},
            {"name": "b1", "runner": "r1", "stages": [{"type": "a"}]},
            {"name": "b2", "runner": "r2", "stages": [{"type": "a"}]},
            {"name": "os", "build": "name:b1", "runner": "unused", "stages": [{"type": "a"}]},
            {"name": "host", "build": "name:empty", "runner": "unused", "stages": [{"type": "c"}]}]}"#,
    );
    let found: Vec<_> = manifest
        .pipelines
        .iter()
        .map(|p| (p.build, p.runner.as_deref()))
        .collect();
    // b1 and b2 have one id: the last of them says which runner
    assert_eq!(
        found,
        [
            (None, None),
            (None, None),
            (None, None),
            (Some(1), Some("r2")),
            (None, None)
        ]
    );
    let id = manifest.pipelines[1].id().unwrap();
    let by_id = good(&format!(
        r#"{{"version": "2", "pipelines": [{{"name": "os", "build": "{id}", "stages": [{{"type": "a"}}]}},
            {{"name": "b", "runner": "r", "stages": [{{"type": "a"}}]}}]}}"#
    ));
    assert_eq!(
        (by_id.pipelines[0].build, by_id.pipelines[0].runner.as_deref()),
        (Some(1), Some("r"))
    );
    assert_eq!(by_id.pipelines[0].id(), manifest.pipelines[3].id());
}

#[test]
fn what_the_peer_ignores_is_warned_of() {
    let input = r#"{"type": "t", "origin": "org.osbuild.pipeline", "references": ["os", "name:os"]}"#;
    let manifest = good(&format!(
        r#"{{"version": "2", "pipelines": [{{"name": "os", "stages": [{{"type": "a"}}]}},
            {{"name": "../x", "stages": [{{"type": "b", "inputs": {{"i": {input}}}}}]}}]}}"#
    ));
    let input = &manifest.pipelines[1].stages[0].inputs[0];
    assert_eq!((input.references.len(), &input.pipelines[..]), (1, &[0][..]));
    let hints: Vec<_> = manifest.warnings.iter().map(|w| w.hint.as_deref()).collect();
    assert_eq!(hints, [None, Some("did you mean `name:os`?")]);
}
