//! The stages that install pinned packages, and the sources they come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::apt::{Pinned, Repository};

/// `org.osbuild.deb` with these packages, in their order.
pub fn deb_stage(packages: &[Pinned], options: Value) -> Value {
    let mut seen = BTreeSet::new();
    let references: Vec<String> = packages
        .iter()
        .filter(|package| seen.insert(package.sha256.as_str()))
        .map(|package| format!("sha256:{}", package.sha256))
        .collect();
    let mut stage = json!({
        "type": "org.osbuild.deb",
        "inputs": {
            "packages": {
                "type": "org.osbuild.files",
                "origin": "org.osbuild.source",
                "references": references,
            },
        },
    });
    if options.as_object().is_some_and(|options| !options.is_empty()) {
        stage["options"] = options;
    }
    stage
}

/// The source of pinned packages: each by its path below a repository. Where a repository is not the distribution's own
/// its address is given too; those of the distribution are looked up on the machine that builds.
pub fn pinned_sources<'a>(
    packages: impl Iterator<Item = &'a Pinned>,
    repositories: &[Repository],
) -> Map<String, Value> {
    let packages: BTreeMap<String, &Pinned> = packages
        .map(|package| (format!("sha256:{}", package.sha256), package))
        .collect();
    let used: BTreeSet<&str> = packages.values().map(|package| package.mirror.as_str()).collect();
    let items: Map<String, Value> = packages
        .iter()
        .map(|(digest, package)| {
            (
                digest.clone(),
                json!({"path": package.path, "mirror": package.mirror}),
            )
        })
        .collect();
    let mirrors: Map<String, Value> = repositories
        .iter()
        .filter_map(|repository| Some((repository.id.as_deref()?, repository.uri.as_str())))
        .filter(|(id, _)| used.contains(id))
        .map(|(id, uri)| (id.to_owned(), json!({"url": uri, "type": "baseurl"})))
        .collect();
    let mut sources = Map::new();
    if !items.is_empty() {
        let mut source = json!({"items": items});
        if !mirrors.is_empty() {
            source["options"] = json!({"mirrors": mirrors});
        }
        sources.insert("org.osbuild.librepo".into(), source);
    }
    sources
}
