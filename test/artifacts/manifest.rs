//! The tree that the artifacts are made of, and the manifest with all of them.

use serde_json::{Value, json};
use tests::manifests::{base64, sha256};

use super::table::artifacts;

const EPOCH: i64 = 1_700_000_000;
/// What `/usr/share/text` has: enough for several blocks of any compressor.
const LINES: usize = 30_000;

pub fn text() -> String {
    (0..LINES).map(|line| format!("line {line}\n")).collect()
}

/// The tree, one that is laid out for OSTree, and a pipeline for each of them.
pub fn manifest() -> Value {
    let text = text();
    let digest = sha256(&text);
    let copy = json!({
        "type": "org.osbuild.copy",
        "inputs": {"files": {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [digest]}},
        "options": {"paths": [{"from": format!("input://files/{digest}"), "to": "tree:///usr/share/text"}]},
    });
    let dirs = ["/etc", "/boot", "/usr/share", "/usr/bin", "/var/lib/owned"];
    let dirs: Vec<Value> = dirs
        .iter()
        .map(|dir| json!({"path": dir, "parents": true}))
        .collect();
    let tree = json!({"name": "tree", "source-epoch": EPOCH, "stages": [
        {"type": "org.osbuild.mkdir", "options": {"paths": dirs}},
        copy,
        {"type": "org.osbuild.hostname", "options": {"hostname": "same"}},
        {"type": "org.osbuild.ln", "options": {"paths": [
            {"target": "../share/text", "link_name": "tree:///usr/bin/link", "symbolic": true},
        ]}},
        {"type": "org.osbuild.chown", "options": {"items": {"/var/lib/owned": {"user": 7, "group": 8}}}},
        {"type": "org.osbuild.chmod", "options": {"items": {"/var/lib/owned": {"mode": "2750"}}}},
    ]});
    let system = json!({"name": "system", "source-epoch": EPOCH, "stages": [
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/usr/share", "parents": true}]}},
        copy,
    ]});
    let pipelines = artifacts()
        .into_iter()
        .map(|artifact| json!({"name": artifact.name, "source-epoch": EPOCH, "stages": artifact.stages}));
    let item = json!({"encoding": "base64", "data": base64(&text)});
    json!({
        "version": "2",
        "sources": {"org.osbuild.inline": {"items": {digest: item}}},
        "pipelines": Vec::from_iter([tree, system].into_iter().chain(pipelines)),
    })
}
