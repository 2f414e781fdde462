//! Small manifests, the modules in shell that they name, and what they are given.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{TestEnv, oracle};

/// A manifest of format 2 with one pipeline, `tree`, of these stages.
pub fn tree_of(stages: Value) -> Value {
    json!({"version": "2", "pipelines": [{"name": "tree", "stages": stages}]})
}

/// The checksum by which a manifest names a content.
pub fn sha256(content: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content.as_ref())))
}

/// Base64 (RFC 4648), as the inline source takes contents.
pub fn base64(content: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let three = [0, 1, 2].map(|at| u32::from(bytes.get(at).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]));
        let length = bytes.len();
        (0..4).map(move |at| if at <= length { digits[at] } else { '=' })
    };
    content.as_ref().chunks(3).flat_map(group).collect()
}

/// A stage `org.osbuild.copy` that puts sources (checksum, path in the tree) into the tree.
pub fn copy_of(files: &[(&str, &str)]) -> Value {
    let references: Vec<&str> = files.iter().map(|(checksum, _)| *checksum).collect();
    let paths: Vec<Value> = files
        .iter()
        .map(|(checksum, to)| {
            json!({"from": format!("input://files/{checksum}"), "to": format!("tree:///{to}")})
        })
        .collect();
    json!({
        "type": "org.osbuild.copy",
        "inputs": {"files": {
            "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": references,
        }},
        "options": {"paths": paths},
    })
}

/// The manifest whose one stage copies every item of a source, as `/0`, `/1` and so on in the source's order.
pub fn fetching(source: &str, items: Vec<(String, Value)>) -> Value {
    let paths: Vec<String> = (0..items.len()).map(|number| number.to_string()).collect();
    let files: Vec<(&str, &str)> = items
        .iter()
        .zip(&paths)
        .map(|((checksum, _), path)| (checksum.as_str(), path.as_str()))
        .collect();
    let mut manifest = tree_of(json!([copy_of(&files)]));
    let items: Map<String, Value> = items.into_iter().collect();
    manifest["sources"] = json!({source: {"items": items}});
    manifest
}

/// Copies a program to where it is run, by a process of its own: one that another test is just starting has for a moment
/// all that is open here, and a file that is open for writing cannot be executed.
fn install(from: &Path, to: &Path) -> anyhow::Result<String> {
    oracle::tool(Command::new("install").args(["-D", "-m", "755"]).args([from, to]))
}

impl TestEnv {
    /// Writes a module in shell into the library directory `lib`; `folder` is such as `stages`.
    pub fn module(&self, folder: &str, name: &str, script: &str) -> PathBuf {
        let text = self.write("module.text", format!("#!/bin/sh\n{script}\n"));
        let path = self.path(format!("lib/{folder}/{name}"));
        install(&text, &path).expect("a module can be written");
        path
    }

    /// Writes a stage in shell into the library directory `lib`.
    pub fn stage(&self, name: &str, script: &str) -> PathBuf {
        self.module("stages", name, script)
    }
}
