//! Format 1 and its oldest form.

use serde_json::json;

use super::{Few, good, problems};
use crate::{ModuleKind, Origin, Pipeline, Version, load, parse};

fn shape(pipelines: &[Pipeline]) -> Vec<(&str, Option<usize>, Option<&str>, usize)> {
    pipelines
        .iter()
        .map(|p| (p.name.as_str(), p.build, p.runner.as_deref(), p.stages.len()))
        .collect()
}

#[test]
fn build_pipelines_come_first_and_the_assembler_last() {
    let manifest = good(
        r#"{"pipeline": {
            "build": {"runner": "r1", "pipeline": {
                "build": {"runner": "r2", "pipeline": {"stages": [{"name": "a"}]}},
                "stages": [{"name": "b"}]}},
            "stages": [{"name": "c"}, {"name": "d"}],
            "assembler": {"name": "e", "options": {"x": 1}}}}"#,
    );
    assert_eq!(
        shape(&manifest.pipelines),
        [
            ("build-build", None, None, 1),
            ("build", Some(0), Some("r2"), 1),
            ("tree", Some(1), Some("r1"), 2),
            ("assembler", Some(1), Some("r1"), 1)
        ]
    );
    let [_, build, tree, assembler] = &manifest.pipelines[..] else {
        panic!()
    };
    assert_eq!(tree.stages[0].build.as_ref(), build.id());
    assert_eq!(tree.stages[1].base, Some(tree.stages[0].id));
    assert_eq!(tree.stages[1].path.to_string(), ".pipeline.stages[1]");
    assert_eq!(
        build.stages[0].path.to_string(),
        ".pipeline.build.pipeline.stages[0]"
    );
    let stage = &assembler.stages[0];
    assert_eq!((stage.kind, stage.base), (ModuleKind::Assembler, None));
    let input = &stage.inputs[0];
    assert_eq!(
        (input.name.as_str(), input.origin, &input.pipelines[..]),
        ("tree", Origin::Pipeline, &[2][..])
    );
    assert_eq!(input.references, [(tree.id().unwrap().to_string(), json!({}))]);
}

#[test]
fn a_build_pipeline_without_stages_is_the_host() {
    let manifest =
        good(r#"{"pipeline": {"build": {"runner": "r", "pipeline": {}}, "stages": [{"name": "a"}]}}"#);
    assert_eq!(
        shape(&manifest.pipelines),
        [("build", None, None, 0), ("tree", None, Some("r"), 1)]
    );
    assert_eq!(manifest.pipelines[1].stages[0].build, None);
    assert_eq!(shape(&good("{}").pipelines), [("tree", None, None, 0)]);
}

#[test]
fn package_stages_have_inputs_by_their_options() {
    let manifest = good(
        r#"{"pipeline": {"stages": [
                {"name": "org.osbuild.rpm", "options": {"packages": ["sha256:a", {"checksum": "sha256:b", "check_gpg": true},
                    {"checksum": "sha256:c", "check_gpg": false}]}},
                {"name": "org.osbuild.ostree", "options": {"commit": "abc", "ref": "main"}}]},
            "sources": {"org.osbuild.files": {"urls": {"sha256:a": "x", "sha256:b": "y", "sha256:c": "z"}},
                "org.osbuild.ostree": {"commits": {"abc": {}}},
                "org.osbuild.inline": {"items": {"sha256:d": {}}}}}"#,
    );
    let stages = &manifest.pipelines[0].stages;
    let input = &stages[0].inputs[0];
    assert_eq!(
        (input.name.as_str(), input.kind.as_str()),
        ("packages", "org.osbuild.files")
    );
    assert_eq!(
        input.references,
        [
            ("sha256:a".to_owned(), json!({})),
            (
                "sha256:b".to_owned(),
                json!({"metadata": {"rpm.check_gpg": true}})
            ),
            ("sha256:c".to_owned(), json!({}))
        ]
    );
    assert_eq!(
        stages[1].inputs[0].references,
        [("abc".to_owned(), json!({"ref": "main"}))]
    );
    let kinds: Vec<_> = manifest
        .sources
        .iter()
        .map(|s| (s.kind.as_str(), s.items.len()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("org.osbuild.curl", 3),
            ("org.osbuild.ostree", 1),
            ("org.osbuild.inline", 1)
        ]
    );
    assert_eq!(manifest.sources[0].options["urls"]["sha256:a"], "x");
    assert_eq!(manifest.warnings, []);
}

#[test]
fn the_oldest_form() {
    let base = "c".repeat(64);
    let text = format!(
        r#"{{"name": "os", "base": "{base}", "build": {{"stages": [{{"name": "b"}}]}},
            "stages": [{{"name": "c"}}, {{"name": "d"}}], "assembler": {{"name": "io.weldr.qcow2"}},
            "sources": {{"org.osbuild.files": {{"urls": {{}}}}}}}}"#
    );
    let manifest = good(&text);
    assert_eq!(
        (manifest.version, manifest.name.as_deref()),
        (Version::One, Some("os"))
    );
    assert_eq!(
        shape(&manifest.pipelines),
        [
            ("build", None, None, 1),
            ("tree", Some(0), None, 2),
            ("assembler", Some(0), None, 1)
        ]
    );
    let tree = &manifest.pipelines[1];
    assert_eq!(tree.stages[0].base, Some(base.parse().unwrap()));
    assert_eq!(tree.stages[1].path.to_string(), ".stages[1]");
    assert_eq!(manifest.pipelines[2].stages[0].path.to_string(), ".assembler");
    // the newer way to write the build pipeline makes the same tree
    let newer = text.replace(
        r#"{"stages": [{"name": "b"}]}"#,
        r#"{"runner": "r", "pipeline": {"stages": [{"name": "b"}]}}"#,
    );
    let newer = good(&newer);
    assert_eq!(newer.pipelines[1].id(), tree.id());
    assert_eq!(newer.pipelines[1].runner.as_deref(), Some("r"));
    // and without a base it is format 1
    let plain = good(r#"{"name": "os", "stages": [{"name": "org.osbuild.noop"}]}"#);
    assert_eq!(
        plain.pipelines[0].id(),
        good(r#"{"pipeline": {"stages": [{"name": "org.osbuild.noop"}]}}"#).pipelines[0].id()
    );
}

#[test]
fn mistakes_in_the_oldest_form() {
    let text = r#"{"name": "os", "stagse": [], "base": "x", "stages": [
        {"name": "org.osbuild.hostnam", "options": {}},
        {"name": "org.osbuild.hostname", "options": {"hostnme": "a"}},
        {"name": "org.osbuild.qcow2"}, {"name": "org.osbuild.dnf"}], "assembler": {"name": "org.osbuild.qcow"}}"#;
    let found: Vec<String> = problems(text, Some(&Few))
        .iter()
        .map(|p| format!("{p} ({})", p.hint.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        found,
        [
            ".stagse: unknown member of this manifest: `stagse` ()",
            ".assembler.name: no assembler is called org.osbuild.qcow (did you mean `org.osbuild.qcow2`?)",
            ".base: `x` is no id: an id has 64 lower-case hexadecimal digits ()",
            ".stages[0].name: no stage is called org.osbuild.hostnam (did you mean `org.osbuild.hostname`?)",
            ".stages[1].options: option `hostname` is missing ()",
            ".stages[1].options.hostnme: unknown option of org.osbuild.hostname: `hostnme` (did you mean `hostname`?)",
            ".stages[2].name: no stage is called org.osbuild.qcow2 (org.osbuild.qcow2 is an assembler)",
            ".stages[3].name: org.osbuild.dnf names packages that are not pinned yet (`image-builder resolve PIPELINE` pins them)",
        ]
    );
}

#[test]
fn documents_call_nested_build_stages_as_the_field_does() {
    let text = r#"{"pipeline": {"build": {"runner": "r", "pipeline": {"stages": [{"name": "x.y"}]}}},
        "sources": {"org.osbuild.files": {"urls": 1}}}"#;
    let found: Vec<_> = problems(text, Some(&Few))
        .iter()
        .map(|p| (p.path.to_string(), p.at.to_string()))
        .collect();
    let expect = |path: &str, at: &str| (path.to_owned(), at.to_owned());
    assert_eq!(
        found,
        [
            expect(
                ".pipeline.build.stages[0]",
                ".pipeline.build.pipeline.stages[0].name"
            ),
            expect(
                ".sources.org.osbuild.curl.urls",
                ".sources.org.osbuild.files.urls"
            ),
        ]
    );
    // a manifest that says it is format 1 is refused there as well
    assert!(load(&parse(r#"{"version": "1"}"#).unwrap(), None).is_err());
}
