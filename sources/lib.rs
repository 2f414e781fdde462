//! Sources: how what a manifest names by its checksum comes into the store.
//!
//! A source is one file, its documentation on top. What it brings is verified before it is seen in the store:
//!
//! ```text
//! <store>/sources/
//!   org.osbuild.files/ALGORITHM:DIGEST           curl, inline, librepo, skopeo-index: plain files
//!   org.osbuild.containers/sha256:ID/image/      skopeo: an image in the format `dir`
//!   org.osbuild.ostree/repo/                     ostree: an archive repository
//! ```
//!
//! Sources resolve names and use the network, so they are part of the host's executable.

mod access;
mod attempts;
mod bulk;
mod claims;
mod client;
mod containers_storage;
mod content;
mod curl;
mod digest;
mod download;
mod draft;
mod inline;
mod librepo;
mod machine;
mod mirrors;
mod ostree;
mod pool;
mod proxy;
pub mod repositories;
mod resolver;
mod rhsm;
mod same_file;
mod session;
mod settling;
mod skopeo;
mod skopeo_index;
#[cfg(test)]
mod testing;
mod tls;
mod tool;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What a source is asked for.
pub struct Request<'a> {
    /// Checksum and description of each item, in the manifest's order.
    pub items: &'a [(String, Value)],
    /// In format 1 the whole source, in format 2 its `options`.
    pub options: &'a Value,
    /// `<store>/sources`
    pub cache: &'a Path,
    /// Base addresses of repositories, by their ids, that go before all others.
    pub repos: &'a BTreeMap<String, String>,
    /// Downloads at a time; 0 leaves it to the source.
    pub jobs: usize,
    pub events: &'a (dyn Events + Sync),
    /// Set from outside, it ends the call within a second.
    pub cancelled: &'a AtomicBool,
}

/// How a source tells of its progress. Everything is called by the thread that called `fetch`.
pub trait Events {
    /// Once: how many items there are, how many of them need nothing, how many bytes the others have, if known.
    fn begin(&self, total_items: usize, cached: usize, total_bytes: Option<u64>);
    /// So many more bytes have come. Those of a transfer that starts anew count again.
    fn bytes(&self, n: u64);
    /// This item, which was not there, is now in the store.
    fn done(&self, item: &str);
    /// Something went wrong, and is tried again.
    fn retry(&self, message: &str);
}

/// What came of a request. The sources of a manifest are good when all their items are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    /// In the order of the request.
    pub results: Vec<ItemResult>,
}

/// What came of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemResult {
    /// Its checksum, as the manifest has it.
    pub item: String,
    pub success: bool,
    /// It was there already.
    pub cached: bool,
    /// Empty when all is well.
    pub error: String,
}

/// A kind of source.
#[derive(Debug)]
pub struct SourceModule {
    pub name: &'static str,
    /// Other names it is found by.
    pub aliases: &'static [&'static str],
    pub fetch: fn(&Request<'_>) -> Outcome,
    /// Its `.meta.json`, with the members `name`, `aliases`, `kind` and `digest` added.
    pub meta: fn() -> Value,
}

/// Every source, sorted by name.
pub static SOURCES: &[&SourceModule] = &[
    &containers_storage::SOURCE,
    &curl::SOURCE,
    &inline::SOURCE,
    &librepo::SOURCE,
    &ostree::SOURCE,
    &skopeo::SOURCE,
    &skopeo_index::SOURCE,
];

/// The source of this name or alias.
pub fn find(name: &str) -> Option<&'static SourceModule> {
    SOURCES
        .iter()
        .copied()
        .find(|source| source.name == name || source.aliases.contains(&name))
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("items", &self.items)
            .field("options", &self.options)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl ItemResult {
    /// As it stands in the `results` of a source (`success`, `metadata`, `error`).
    pub fn to_value(&self) -> Value {
        json!({
            "success": self.success,
            "metadata": {"checksum": self.item, "cached": self.cached},
            "error": self.error,
        })
    }
}

impl Outcome {
    /// The reply of the source `name`.
    pub fn to_value(&self, name: &str) -> Value {
        json!({
            "name": format!("source {name}"),
            "source_type": name,
            "success": self.success,
            "results": self.results.iter().map(ItemResult::to_value).collect::<Vec<_>>(),
        })
    }
}

/// Runs a source on an argument document: `items`, `cache` (a directory), and if need be `options`, `repos` (id →
/// address) and `jobs`. Prints the reply; an error is the first item's.
pub fn run_by_hand(name: &str, document: Value) -> Result<()> {
    let source = find(name).ok_or_else(|| anyhow!("there is no source `{name}`"))?;
    let Some(items) = document.get("items").and_then(Value::as_object) else {
        bail!("the arguments on stdin have no `items`");
    };
    let items: Vec<_> = items.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let cache = document.get("cache").and_then(Value::as_str);
    let repos = document.get("repos").cloned().unwrap_or_else(|| json!({}));
    let outcome = (source.fetch)(&Request {
        items: &items,
        options: document.get("options").unwrap_or(&Value::Null),
        cache: Path::new(cache.context("the arguments on stdin have no `cache`, a directory")?),
        repos: &serde_json::from_value(repos).context("`repos` of the arguments on stdin")?,
        jobs: document.get("jobs").and_then(Value::as_u64).unwrap_or(0) as usize,
        events: &Silent,
        cancelled: &AtomicBool::new(false),
    });
    println!("{}", outcome.to_value(name));
    match outcome.results.into_iter().find(|item| !item.success) {
        Some(item) => bail!("{}", item.error),
        None => Ok(()),
    }
}

struct Silent;

impl Events for Silent {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn done(&self, _: &str) {}
    fn retry(&self, message: &str) {
        eprintln!("{message}");
    }
}

/// What a source says of itself: the documentation on top of its file, and `schemas` (`schema`, `schema_2`).
fn describe(name: &str, aliases: &[&str], text: &str, schemas: Map<String, Value>) -> Value {
    let doc = text.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: Vec<_> = doc.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let summary = doc.first().copied().unwrap_or("").trim_end_matches('.');
    let rest: Vec<_> = doc.iter().skip(1).skip_while(|line| line.is_empty()).collect();
    let mut meta = json!({
        "name": name,
        "aliases": aliases,
        "kind": "sources",
        // what a source brings is verified, so its own file says enough
        "digest": hex::encode(Sha256::digest(text)),
        "summary": summary,
        "description": rest,
    });
    if let Some(meta) = meta.as_object_mut() {
        meta.extend(schemas);
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_by_all_their_names() {
        assert_eq!(find("org.osbuild.files").unwrap().name, "org.osbuild.curl");
        assert!(find("org.osbuild.x").is_none());
        assert!(SOURCES.is_sorted_by_key(|source| source.name));
    }

    #[test]
    fn every_source_describes_itself() {
        for source in SOURCES {
            let meta = (source.meta)();
            assert_eq!(meta["name"], source.name);
            assert!(!meta["summary"].as_str().unwrap().is_empty());
            assert!(!meta["description"].as_array().unwrap().is_empty());
            assert!(meta.get("schema").or(meta.get("schema_2")).is_some());
        }
    }

    #[test]
    fn by_hand_a_source_needs_its_arguments() {
        let run = |name, document| run_by_hand(name, document).unwrap_err().to_string();
        assert!(run("x", json!({})).contains("no source `x`"));
        assert!(run("org.osbuild.inline", json!({})).contains("no `items`"));
        assert!(run("org.osbuild.inline", json!({"items": {}})).contains("no `cache`"));
    }
}
