//! Where an export comes from: an in-toto statement (in-toto.io/Statement/v1) with SLSA provenance
//! (slsa.dev/provenance/v1).
//!
//! ```text
//! subject               the files of the export, by SHA-256; of a system's tree the digest of the tree
//! externalParameters    the manifest's digest, what was exported
//! internalParameters    the pipelines: their ids, what they were built on
//! resolvedDependencies  the manifest; each item of its sources; each module that had a part in it
//! byproducts            the trees of all pipelines that were needed
//! ```
//!
//! It is the payload of a DSSE envelope as it stands (`application/vnd.in-toto+json`): a signer wraps it. Nothing in it
//! depends on when or where the build ran, so that two builds of one manifest can be compared by it.

use std::collections::BTreeSet;

use executor::Error;
use manifest::{Manifest, ModuleKind, Pipeline, Source};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::Object;

use crate::attest::{Built, tool};

/// The digests that only we compute have names of their own: in a list of digests `sha256` is that of a file.
const TREE: &str = "osbuildTree";
const MODULE: &str = "osbuildModule";

/// The statement on the export of a pipeline.
pub(crate) fn statement(built: &Built<'_>, pipeline: usize, name: &str) -> Result<Value, Error> {
    let manifest = built.manifest;
    let digest = hex::encode(Sha256::digest(built.text));
    let needed: Vec<usize> = (0..manifest.pipelines.len())
        .filter(|index| built.report.pipelines[*index].object.is_some())
        .collect();
    let mut dependencies = vec![json!({
        "name": "manifest", "mediaType": "application/json", "digest": {"sha256": digest},
    })];
    dependencies.extend(manifest.sources.iter().flat_map(items));
    dependencies.extend(modules(built, &needed));
    let definition = json!({
        "buildType": "https://osbuild.org/provenance/manifest/v1",
        "externalParameters": {"manifest": {"digest": {"sha256": digest}}, "export": name},
        "internalParameters": {
            "architecture": std::env::consts::ARCH,
            "pipelines": needed.iter().map(|index| pipeline_of(manifest, *index)).collect::<Value>(),
        },
        "resolvedDependencies": dependencies,
    });
    let trees = needed.iter().filter_map(|index| {
        let object = built.report.pipelines[*index].object.as_ref()?;
        Some(json!({"name": manifest.pipelines[*index].name, "digest": {TREE: object.digest().to_string()}}))
    });
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject(built, pipeline, name)?,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": definition,
            "runDetails": {
                "builder": {
                    "id": "https://osbuild.org/osbuild",
                    "version": {"osbuild": tool().trim_start_matches("osbuild-")},
                },
                "byproducts": trees.collect::<Value>(),
            },
        },
    }))
}

/// What was made: each file of an image, but a system's tree as one.
fn subject(built: &Built<'_>, pipeline: usize, name: &str) -> Result<Value, Error> {
    let Some(object) = &built.report.pipelines[pipeline].object else {
        return Ok(json!([]));
    };
    if executor::system_of(built.manifest, built.report, pipeline)? == pipeline {
        return Ok(json!([{"name": name, "digest": {TREE: object.digest().to_string()}}]));
    }
    Ok(files(object)?.into())
}

fn files(object: &Object) -> Result<Vec<Value>, Error> {
    let file = |(path, sha256): (std::path::PathBuf, [u8; 32])| json!({"name": path.display().to_string(), "digest": {"sha256": hex::encode(sha256)}});
    Ok(executor::sha256_of_files(object)?.into_iter().map(file).collect())
}

fn pipeline_of(manifest: &Manifest, index: usize) -> Value {
    let pipeline = &manifest.pipelines[index];
    let root = pipeline
        .build
        .map(|build| manifest.pipelines[build].name.as_str());
    let stages: Vec<Value> = pipeline
        .stages
        .iter()
        .map(|stage| json!({"type": stage.name, "id": stage.id.to_string()}))
        .collect();
    let mut all = json!({"name": pipeline.name, "stages": stages, "buildRoot": root.unwrap_or("host")});
    if let Some(epoch) = pipeline.source_epoch {
        all["sourceEpoch"] = epoch.into();
    }
    all
}

/// What a source has brought.
fn items(source: &Source) -> impl Iterator<Item = Value> {
    source.items.iter().map(|(name, item)| {
        let mut all = Map::from_iter([("name".to_owned(), name.as_str().into())]);
        if let Some(url) = address(item) {
            all.insert("uri".to_owned(), without_secrets(url).into());
        }
        if let Some((algorithm, digest)) = digest_of(name) {
            all.insert("digest".to_owned(), json!({algorithm: digest}));
        }
        let mut more = json!({"source": source.kind});
        // below a mirror, which the manifest may leave open
        if item["path"].is_string() {
            more["path"] = item["path"].clone();
        }
        all.insert("annotations".to_owned(), more);
        Value::Object(all)
    })
}

/// Where an item was to come from, where it says so itself.
fn address(item: &Value) -> Option<&str> {
    match item {
        Value::String(url) => Some(url),
        item => item["remote"]["url"].as_str().or(item["url"].as_str()),
    }
}

/// `https://user:password@host/` is nobody's business.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The checksum by which items are named: `sha256:…`, or bare that of an OSTree commit.
fn digest_of(name: &str) -> Option<(&str, &str)> {
    let (algorithm, digest) = name.split_once(':').unwrap_or(("sha256", name));
    let good = digest.len() >= 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then_some((algorithm, digest))
}

/// Every module that a needed pipeline's stages name, once.
fn modules(built: &Built<'_>, needed: &[usize]) -> impl Iterator<Item = Value> {
    let pipelines = needed.iter().map(|index| &built.manifest.pipelines[*index]);
    let names: BTreeSet<(ModuleKind, &str)> = pipelines.flat_map(modules_of).collect();
    names.into_iter().filter_map(|(kind, name)| {
        let module = built.library.find(kind, name)?;
        Some(json!({
            "name": name,
            "digest": {MODULE: module.digest},
            "annotations": {"kind": kind.noun()},
        }))
    })
}

fn modules_of(pipeline: &Pipeline) -> impl Iterator<Item = (ModuleKind, &str)> {
    let stages = pipeline.stages.iter();
    stages.map(|stage| (stage.kind, stage.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_without_passwords() {
        assert_eq!(
            without_secrets("https://a:b@c.example/d@e"),
            "https://c.example/d@e"
        );
        assert_eq!(without_secrets("https://c.example?x=@"), "https://c.example?x=@");
        assert_eq!(address(&json!({"url": "u"})), Some("u"));
        assert_eq!(address(&json!({"remote": {"url": "r"}})), Some("r"));
        assert_eq!(address(&json!({"data": "x"})), None);
    }

    #[test]
    fn names_of_items_are_digests() {
        let commit = "0".repeat(64);
        assert_eq!(digest_of(&commit), Some(("sha256", commit.as_str())));
        let md5 = format!("md5:{}", "a".repeat(32));
        assert_eq!(digest_of(&md5).unwrap().0, "md5");
        assert_eq!(digest_of("name"), None);
    }
}
