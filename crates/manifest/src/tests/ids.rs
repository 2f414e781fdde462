//! Ids are those of the peer.

use super::{documents, good};
use crate::{Manifest, parse};

/// The id of the last stage of a pipeline whose only stage is a noop with these further members.
fn noop(members: &str) -> String {
    let manifest = one_stage(members);
    manifest.pipelines[0].id().unwrap().to_string()
}

fn one_stage(members: &str) -> Manifest {
    good(&format!(
        r#"{{"version": "2", "sources": {{"org.osbuild.curl": {{"items": {{"sha256:aa": "http://x", "sha256:00": "y"}}}}}},
            "pipelines": [{{"name": "p", "stages": [{{"type": "org.osbuild.noop"{members}}}]}}]}}"#
    ))
}

const PACKAGES: &str = r#", "inputs": {"packages": {"type": "org.osbuild.files", "origin": "org.osbuild.source",
    "references": {"sha256:aa": {}, "sha256:00": {"metadata": {"rpm.check_gpg": true}}}}}"#;

const DISK: &str = r#", "devices": {
        "k": {"type": "org.osbuild.luks2", "parent": "l", "options": {"passphrase": "x"}},
        "l": {"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}}},
    "mounts": [
        {"name": "m1", "type": "org.osbuild.ext4", "source": "k", "target": "/"},
        {"name": "m2", "type": "org.osbuild.ext4", "source": "l", "partition": 3, "target": "/boot",
         "options": {"readonly": true}}]"#;

#[test]
fn stages() {
    let plain = "beda46704765a47e6d4f44aff22168ae36866c9c0e6e11552b775b77776b2969";
    assert_eq!(noop(""), plain);
    assert_eq!(
        noop(r#", "options": {}, "inputs": {}, "mounts": [], "devices": {}"#),
        plain
    );
    assert_eq!(
        noop(r#", "options": {"a": "é\u007f/\"\\\n😀", "b": [1, 2.5, 1e16, 1e-7, true, null]}"#),
        "d97bb338ccb0beaff2ab2acf4a192b740fe74ca41f20e5bd096cab3b77feb010"
    );
    assert_eq!(
        noop(PACKAGES),
        "89bdaa19507394b269c3962deed9bfa27dd2423c2dcdeb67a47275ad491aa495"
    );
    assert_eq!(
        noop(DISK),
        "6b3b2a7cf7fc32755a95d481faf9993498e9ac7319f880a632df00b030767a1f"
    );
}

#[test]
fn stages_with_epoch_build_and_base() {
    let manifest = good(
        r#"{"version": "2", "pipelines": [
            {"name": "p", "source-epoch": 0, "stages": [{"type": "org.osbuild.noop"}]}]}"#,
    );
    let id = "bccce523403583bcb7b6ce2aa5e67ec7633898c2be4c9896571f83d457c952c0";
    assert_eq!(manifest.pipelines[0].id().unwrap().to_string(), id);
    // a build pipeline cannot be made to have this id, so the stage is changed
    let mut stage = one_stage("").pipelines.remove(0).stages.remove(0);
    stage.build = Some("b".repeat(64).parse().unwrap());
    stage.base = Some("c".repeat(64).parse().unwrap());
    assert_eq!(
        crate::id::stage(&stage).to_string(),
        "462f172c833e80d7ff45659038e546056181ecf4a4fc26710caeea1f9f9c6a4f"
    );
}

#[test]
fn inputs_devices_mounts_and_sources() {
    let manifest = one_stage(PACKAGES);
    assert_eq!(
        manifest.pipelines[0].stages[0].inputs[0].id.to_string(),
        "3220958ab529b5463b2d33b138ca28b68cf2886169d7d4fd5ab323ac0c92a449"
    );
    let manifest = one_stage(DISK);
    let stage = &manifest.pipelines[0].stages[0];
    let devices: Vec<_> = stage
        .devices
        .iter()
        .map(|d| (d.name.as_str(), d.parent, d.id.to_string()))
        .collect();
    let (l, k) = (
        "1b5e82803f9340ab9da214caf2c076137b1ccc6137d704cf2e06ba8685dbf795".to_owned(),
        "2b0e3583286cdc3331f0b55daeb94590a4072f91e2ff0158a3d7c830b4356af1".to_owned(),
    );
    assert_eq!(devices, [("l", None, l), ("k", Some(0), k)]);
    let mounts: Vec<_> = stage
        .mounts
        .iter()
        .map(|m| (m.device, m.partition, m.id.to_string()))
        .collect();
    let (m1, m2) = (
        "3c2c4e81dbaef3f3c4e28890b929ad24ba34f0c8c2941b99b3bbb2ab8ab9325b".to_owned(),
        "a92cf685ca0fe1619bb2060d03ace629cacf29c4fd78eabd030a40fb1e3c8044".to_owned(),
    );
    assert_eq!(mounts, [(Some(1), None, m1), (Some(0), Some(3), m2)]);
    let source =
        good(r#"{"version": "2", "sources": {"org.osbuild.files": {"items": {"sha256:aa": "http://x"}}}}"#);
    assert_eq!(source.sources[0].kind, "org.osbuild.curl");
    assert_eq!(
        source.sources[0].id.to_string(),
        "4df8b3be21e5082cf3972c6dde02560facc731a7e7dc674eea1e0e9f042d64ca"
    );
}

#[test]
fn recorded_manifests() {
    let mut count = 0;
    for (file, document) in documents("conformance/ids") {
        let manifest = crate::load(&document["manifest"], None).unwrap_or_else(|p| panic!("{file}: {p:?}"));
        let ids = &document["ids"];
        for pipeline in &manifest.pipelines {
            let id = serde_json::json!(pipeline.id());
            assert_eq!(id, ids["pipelines"][&pipeline.name], "{file}: {}", pipeline.name);
        }
        for stage in ids["stages"].as_array().unwrap() {
            let pipeline = manifest.pipeline(stage["pipeline"].as_str().unwrap()).unwrap();
            let ours = &pipeline.stages[stage["index"].as_u64().unwrap() as usize];
            assert_eq!(stage["id"], ours.id.to_string(), "{file}: {stage}");
            assert_eq!(stage["type"], ours.name);
            count += 1;
        }
    }
    println!("{count} stages compared");
}

#[test]
fn recorded_builds() {
    let files = documents("conformance/builds");
    for (file, ids) in files.iter().filter(|(file, _)| file.ends_with(".ids.json")) {
        let name = file.replace(".ids.json", ".json");
        let (_, value) = files.iter().find(|(file, _)| *file == name).unwrap();
        let Ok(manifest) = crate::load(value, None) else {
            println!("{name} is not loaded");
            continue;
        };
        for pipeline in &manifest.pipelines {
            let expected = &ids["pipelines"][&pipeline.name];
            assert_eq!(
                serde_json::json!(pipeline.id()),
                *expected,
                "{name}: {}",
                pipeline.name
            );
        }
    }
}

#[test]
fn minus_zero_in_a_manifest_is_an_integer() {
    let zero = noop(r#", "options": {"a": 0}"#);
    assert_eq!(noop(r#", "options": {"a": -0}"#), zero);
    assert_ne!(noop(r#", "options": {"a": -0.0}"#), zero);
    assert!(parse("-0").unwrap().is_u64());
}
