//! `--inspect` prints the ids that were recorded.
//!
//! That every recorded manifest has its ids, whatever modules there are, is tested where ids are made: in `manifest`.

use serde_json::Value;
use tests::TestEnv;

use super::recordings::{Ours, documents, peer};

#[test]
fn inspected_manifests_have_the_recorded_ids() {
    let ours = Ours::new();
    let env = TestEnv::new();
    let builds = documents("builds");
    let manifest_of = |name: &str| {
        builds
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, manifest)| manifest)
    };
    let of_builds = builds.iter().filter_map(|(name, ids)| {
        let name = name.strip_suffix(".ids")?;
        Some((name, manifest_of(name)?, ids))
    });
    let others = documents("ids");
    let others = others
        .iter()
        .map(|(name, case)| (name.as_str(), &case["manifest"], &case["ids"]));
    let (mut same, mut passed_over) = (0, 0);
    for (name, manifest, ids) in of_builds.chain(others) {
        let missing = ours.missing(manifest);
        match (missing.is_empty(), peer()) {
            (true, _) => same += compare(&env, name, manifest, ids, None),
            (false, Some(libdir)) => same += compare(&env, name, manifest, ids, Some(&libdir)),
            (false, None) => {
                println!("{name}: skipped, it needs {}", missing.join(", "));
                passed_over += 1;
            }
        }
    }
    println!("{same} ids are the recorded ones; {passed_over} manifests were skipped");
}

/// How many ids there were to compare.
fn compare(env: &TestEnv, name: &str, manifest: &Value, ids: &Value, libdir: Option<&str>) -> usize {
    let args = libdir.into_iter().chain(["--inspect", "-"]);
    let inspected = env
        .osbuild_on(args, manifest.to_string().as_bytes())
        .expect(0)
        .json();
    let recorded = ids["stages"].as_array().unwrap();
    for stage in recorded {
        assert_eq!(entry(&inspected, stage)["id"], stage["id"], "{name}: {stage}");
    }
    recorded.len()
}

/// The entry of a recorded stage in an inspected manifest of either format.
fn entry<'a>(inspected: &'a Value, stage: &Value) -> &'a Value {
    let (name, index) = (
        stage["pipeline"].as_str().unwrap(),
        stage["index"].as_u64().unwrap() as usize,
    );
    if let Some(pipelines) = inspected["pipelines"].as_array() {
        let pipeline = pipelines.iter().find(|pipeline| pipeline["name"] == name);
        return &pipeline.unwrap_or_else(|| panic!("there is no pipeline {name}"))["stages"][index];
    }
    let tree = &inspected["pipeline"];
    match name {
        "assembler" => &tree["assembler"],
        "tree" => &tree["stages"][index],
        // `build`, `build-build` and so on
        _ => &name
            .split('-')
            .fold(tree, |pipeline, _| &pipeline["build"]["pipeline"])["stages"][index],
    }
}
