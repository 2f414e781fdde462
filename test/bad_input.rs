//! Bad input: told before anything runs, with its place and what to do.

use serde_json::{Value, json};
use tests::{Run, TestEnv};

/// Builds a manifest of one pipeline with these stages.
fn stages(env: &TestEnv, stages: &Value) -> Run {
    let pipelines = json!([{"name": "tree", "stages": stages}]);
    let text = format!("{:#}", json!({"version": "2", "pipelines": pipelines}));
    env.build_text(&text, &[])
}

/// Refuses a manifest of one pipeline with this stage, and says this.
#[track_caller]
fn refused(stage: &Value, message: &str) {
    let env = TestEnv::new();
    let run = stages(&env, &json!([stage])).expect(2);
    assert_eq!(run.stderr, message, "{run}");
    assert!(!env.store().exists(), "nothing is begun: {run}");
    assert!(!env.out().exists(), "nothing is begun: {run}");
}

#[test]
fn truncated_json() {
    let env = TestEnv::new();
    let text = "{\n  \"version\": \"2\",\n  \"pipelines\": [";
    let run = env.build_text(text, &[]).expect(2);
    assert_eq!(
        run.stderr,
        "error: manifest.json: the text ends inside an array at line 3 column 17\n"
    );
}

#[test]
fn json_with_a_mistake() {
    let env = TestEnv::new();
    let run = env
        .build_text("{\"version\": \"2\",\n\"pipelines\": nope}", &[])
        .expect(2);
    run.says(&["error: manifest.json: ", "line 2 column 1"]);
}

#[test]
fn an_unknown_stage() {
    refused(
        &json!({"type": "org.osbuild.hostnam"}),
        "error: 1 problem in manifest.json\n  \
           .pipelines[0].stages[0].type (line 8): no stage is called org.osbuild.hostnam\n    \
             hint: did you mean `org.osbuild.hostname`?\n",
    );
}

#[test]
fn an_assembler_without_a_tree() {
    refused(
        &json!({"type": "org.osbuild.rawfs"}),
        "error: 1 problem in manifest.json\n  \
           .pipelines[0].stages[0] (line 7): the assembler org.osbuild.rawfs needs an input `tree`\n    \
             hint: of type `org.osbuild.tree`, origin `org.osbuild.pipeline`, references [`name:PIPELINE`]\n",
    );
}

#[test]
fn an_option_of_the_wrong_type() {
    refused(
        &json!({"type": "org.osbuild.hostname", "options": {"hostname": 3}}),
        "error: 1 problem in manifest.json\n  \
           .pipelines[0].stages[0].options.hostname (line 10): must be a string, not the number 3\n",
    );
}

#[test]
fn a_misspelt_option() {
    refused(
        &json!({"type": "org.osbuild.hostname", "options": {"hostnme": "web1"}}),
        "error: 2 problems in manifest.json\n  \
           .pipelines[0].stages[0].options (line 9): option `hostname` is missing\n  \
           .pipelines[0].stages[0].options.hostnme (line 10): unknown option of org.osbuild.hostname: `hostnme`\n    \
             hint: did you mean `hostname`?\n",
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let env = TestEnv::new();
    let two = json!([{"type": "org.osbuild.x"}, {"type": "org.osbuild.hostname", "options": {}}]);
    let run = stages(&env, &two).expect(2);
    run.says(&[
        "error: 2 problems in manifest.json",
        ".stages[0].type",
        ".stages[1].options",
    ]);
}

#[test]
fn packages_that_are_not_pinned() {
    let repo = json!({"url": "http://localhost/", "suites": ["stable"], "components": ["main"]});
    let env = TestEnv::new();
    for stage in [
        json!({"type": "org.osbuild.apt", "options": {"repos": {"a": repo}, "packages": ["nginx"]}}),
        json!({"type": "org.osbuild.dnf", "options": {"repos": {}, "packages": ["nginx"]}}),
    ] {
        let run = stages(&env, &json!([stage])).expect(2);
        run.says(&[
            "names packages that are not pinned yet",
            "hint: `image-builder resolve",
        ]);
    }
}

#[test]
fn references_that_lead_nowhere() {
    let env = TestEnv::new();
    let manifest =
        json!({"version": "2", "pipelines": [{"name": "tree", "build": "name:build", "stages": []}]});
    env.build(&manifest, &[])
        .expect(2)
        .says(&[".pipelines[0].build", "build"]);
    let inputs = json!({"t": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:os"]}});
    let run = stages(&env, &json!([{"type": "org.osbuild.noop", "inputs": inputs}])).expect(2);
    run.says(&[".pipelines[0].stages[0].inputs.t", "os"]);
}

#[test]
fn a_library_without_its_modules() {
    let env = TestEnv::new();
    let lone = env.path("osbuild");
    std::fs::copy(env.binaries().osbuild(), &lone).unwrap();
    env.write("noop.json", r#"{"version": "2", "pipelines": []}"#);
    let run = tests::run(
        env.command(&lone)
            .args(["--store", "store", "-o", "out", "noop.json"]),
        b"",
        std::time::Duration::from_secs(60),
    );
    run.expect(1)
        .says(&["error: the modules are nowhere", "osbuild-modules", "hint: "]);
}

#[test]
fn a_manifest_that_is_not_there() {
    let env = TestEnv::new();
    let run = env.osbuild(["nowhere.json", "--store", "store"]).expect(1);
    run.says(&["error: cannot read nowhere.json: "]);
    assert!(!env.store().exists());
}

#[test]
fn an_output_directory_that_is_a_file() {
    let env = TestEnv::new();
    env.write("out", "precious");
    let run = stages(&env, &json!([{"type": "org.osbuild.noop"}])).expect(1);
    run.says(&["error: ", "out: it is not a directory"]);
    assert_eq!(std::fs::read_to_string(env.out()).unwrap(), "precious");
    assert!(!env.store().exists(), "it is seen before anything is begun");
}

#[test]
fn a_store_that_is_a_file() {
    let env = TestEnv::new();
    env.write("store", "precious");
    let run = stages(&env, &json!([{"type": "org.osbuild.noop"}])).expect(1);
    run.says(&["error: ", "store is not a directory"]);
    assert_eq!(std::fs::read_to_string(env.store()).unwrap(), "precious");
}

#[test]
fn a_store_that_cannot_be_written() {
    let env = TestEnv::new();
    let manifest = env.write("noop.json", r#"{"version": "2", "pipelines": []}"#);
    // /proc refuses root, too
    let run = env.osbuild(["--store", "/proc/store", "-o", "out", &manifest.to_string_lossy()]);
    run.expect(1).says(&["error: ", "/proc/store"]);
}

#[test]
fn an_export_of_nothing() {
    let env = TestEnv::new();
    let manifest = json!({"version": "2", "pipelines": [{"name": "tree", "stages": []}]});
    let run = env.build(&manifest, &["--export", "image"]).expect(1);
    assert!(run.stdout.contains("Export image not found in ['tree']"), "{run}");
    assert!(!env.store().exists());
}

#[test]
fn an_export_of_a_pipeline_without_a_name() {
    let env = TestEnv::new();
    let manifest = json!({"version": "2", "pipelines": [{"name": "", "stages": []}]});
    let run = env.build(&manifest, &["--export", ""]).expect(1);
    let message = format!(
        "error: the pipeline without a name cannot be exported into {}: name it\n",
        env.out().display()
    );
    assert_eq!(run.stderr, message, "{run}");
    assert!(!env.store().exists() && !env.out().exists(), "nothing is begun");
}

#[test]
fn a_blueprint_of_lists() {
    for (text, message) in [
        (
            "[\"web\"]",
            "line 1: invalid type: sequence, expected a blueprint",
        ),
        (
            "{\"packages\": [\n[\"nginx\"]]}",
            "line 2: invalid type: sequence, expected a package",
        ),
    ] {
        let env = TestEnv::new();
        env.write("web.json", text);
        let run = env.image_builder(["manifest", "--type", "tar", "--blueprint", "web.json"]);
        let run = run.expect(2).says(&[&format!("error: web.json, {message}")]);
        assert_eq!(
            (run.stdout.as_str(), run.stderr.lines().count()),
            ("", 1),
            "{run}"
        );
    }
}

#[test]
fn a_cache_that_the_configuration_of_apt_cannot_name() {
    let env = TestEnv::new();
    let run = env.image_builder(["manifest", "--type", "tar", "--cache", "a\"b"]);
    run.expect(2)
        .says(&["a\"b", "is no place for the cache", "hint: ", "--cache"]);
    assert!(!env.path("a\"b").exists(), "nothing is begun");
}

#[test]
fn a_module_whose_metadata_is_no_good() {
    for (metadata, what) in [
        ("{\"summary\": \"x\"}", "has no schema"),
        (
            "{\"summary\": \"x\",",
            "is no JSON: EOF while parsing a value at line 1 column 16",
        ),
        ("[]", "is no JSON object"),
    ] {
        let env = TestEnv::new();
        let module = env.stage("org.example.some", "echo");
        let file = env.write("lib/stages/org.example.some.meta.json", metadata);
        let manifest = json!({"version": "2", "pipelines": [
            {"name": "tree", "stages": [{"type": "org.example.some"}]},
        ]});
        let run = env.build(&manifest, &["-l", "lib"]).expect(2);
        let message = format!(
            "error: 1 problem in <stdin>\n  .pipelines[0].stages[0].type (line 1): the metadata of the stage \
             org.example.some, {}, {what}\n",
            file.display()
        );
        assert_eq!(run.stderr, message);
        let document = env.build(&manifest, &["-l", "lib", "--json"]).expect(2).json();
        assert_eq!(
            document["errors"][0]["path"],
            json!(["pipelines", 0, "stages", 0]),
            "as there"
        );
        assert!(module.exists());
    }
}
