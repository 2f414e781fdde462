//! `osbuild plan` says what would run and why, and does nothing; `--checkpoint` and `--break` change what is kept.

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, run};

fn plan(env: &TestEnv, manifest: &Value, args: &[&str]) -> Run {
    let args = ["plan", "--store", "store", "-"].iter().chain(args);
    env.osbuild_on(args, manifest.to_string().as_bytes()).expect(0)
}

fn whys(env: &TestEnv, manifest: &Value) -> Vec<Value> {
    let document = plan(env, manifest, &["--json"]).json();
    let stages = document["stages"].as_array().unwrap();
    stages.iter().map(|stage| stage["why"].clone()).collect()
}

fn named(host: &str) -> Value {
    tree_of(json!([
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
        {"type": "org.osbuild.hostname", "options": {"hostname": host}},
        {"type": "org.osbuild.noop"},
    ]))
}

#[test]
fn a_plan_makes_nothing() {
    let env = TestEnv::new();
    let run = plan(&env, &named("a"), &[]);
    assert!(
        run.stdout
            .starts_with("<stdin>  1 pipeline · 3 stages · 0 cached\n"),
        "{run}"
    );
    assert!(!env.store().exists());
    let whys = whys(&env, &named("a"));
    assert_eq!(
        json!(whys),
        json!([
            "not in the store",
            "after org.osbuild.mkdir",
            "after org.osbuild.hostname"
        ])
    );
}

#[test]
fn what_later_stages_read_is_built_first() {
    let pipeline = |name: &str, stages: Value| json!({"name": name, "stages": stages});
    let reads = |names: &[&str]| {
        let inputs = names.iter().map(|name| {
            let input = json!({
                "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline",
                "references": [format!("name:{name}")],
            });
            ((*name).to_owned(), input)
        });
        let options = json!({"paths": [{"from": format!("input://{}/", names[0]), "to": "tree:///"}]});
        let inputs: Value = inputs.collect::<serde_json::Map<_, _>>().into();
        json!({"type": "org.osbuild.copy", "inputs": inputs, "options": options})
    };
    let leaf = |name: &str| {
        pipeline(
            name,
            json!([{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": format!("/{name}")}]}}]),
        )
    };
    let mut tree = pipeline(
        "tree",
        json!([reads(&["a"]), reads(&["b", "c"]), reads(&["a", "d"])]),
    );
    tree["build"] = "name:build".into();
    let mut build = leaf("build");
    build["stages"][0]["type"] = "org.osbuild.noop".into();
    build["stages"][0]["options"] = json!({});
    let pipelines = [leaf("a"), leaf("b"), leaf("c"), leaf("d"), build, tree];
    let env = TestEnv::new();
    let document = plan(
        &env,
        &json!({"version": "2", "pipelines": pipelines}),
        &["--json"],
    )
    .json();
    let stages = document["stages"].as_array().unwrap();
    let mut order: Vec<&str> = stages
        .iter()
        .map(|stage| stage["pipeline"].as_str().unwrap())
        .collect();
    order.dedup();
    assert_eq!(order, ["build", "a", "d", "b", "c", "tree"]);
}

#[test]
fn a_plan_says_what_the_next_run_does() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.build(&named("a"), &["--json"]).expect(0);
    assert_eq!(json!(whys(&env, &named("a"))), json!([null, null, null]));
    assert_eq!(
        json!(whys(&env, &named("b"))),
        json!([null, "options changed at .hostname", "after org.osbuild.hostname"])
    );
    let log = env.build(&named("b"), &["--json"]).expect(0).json()["log"]["tree"].clone();
    assert_eq!(log.as_array().unwrap().len(), 2);
}

#[test]
fn a_checkpoint_is_not_evicted() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let limit = ["--cache-max-size", "1", "--json"];
    env.build(&named("kept"), &["--checkpoint", "tr?e", "--cache-max-size", "1"])
        .expect(0);
    env.build(&named("dropped"), &limit).expect(0);
    env.build(&named("other"), &limit).expect(0);
    let ran = |host: &str| env.build(&named(host), &limit).expect(0).json()["log"] != json!({});
    assert!(!ran("kept"));
    assert!(ran("dropped"));
    let run = env.build(&named("kept"), &["--checkpoint", "*"]).expect(0);
    let report: Vec<&str> = run
        .stdout
        .lines()
        .skip_while(|line| *line != "Checkpoints")
        .skip(1)
        .collect();
    assert_eq!(report.len(), 3, "{run}");
    assert!(report.iter().all(|line| line.ends_with(": cached")), "{run}");
}

#[test]
fn a_shell_opens_in_the_tree_and_what_it_did_is_not_taken_for_the_stage() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.write("m.json", named("a").to_string());
    let broken = |script: &str| {
        let mut command = env.command(env.binaries().osbuild());
        command.args([
            "--store",
            "store",
            "-o",
            "out",
            "m.json",
            "--break",
            "org.osbuild.hostname",
        ]);
        run(
            &mut command,
            script.as_bytes(),
            std::time::Duration::from_secs(600),
        )
    };
    let run = broken("cd /run/osbuild/tree; echo in the shell: *; touch etc/extra").expect(0);
    assert!(run.stdout.contains("\nin the shell: etc\n"), "{run}");
    assert!(env.out().join("etc/extra").exists());
    broken("exit 7")
        .expect(1)
        .says(&["org.osbuild.hostname", "exit code 7"]);
    std::fs::remove_dir_all(env.out()).unwrap();
    env.build(&named("a"), &[]).expect(0);
    assert!(!env.out().join("etc/extra").exists());
}
