//! `org.osbuild.dnf` becomes `org.osbuild.rpm`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Context, State, options};
use crate::dnf::{Dnf, Pinned, Repository, Wanted};
use crate::error::{Failure, Result};
use crate::print;

/// Options of `org.osbuild.dnf`, as published with the first pipelines.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    releasever: Option<Release>,
    basearch: Option<String>,
    repos: Repos,
    packages: Vec<String>,
    exclude_packages: Vec<String>,
    install_weak_deps: Option<bool>,
    module_platform_id: Option<String>,
    operation: Option<String>,
    /// How much dnf said while it installed, which it does not do here.
    #[serde(rename = "verbosity")]
    _verbosity: Option<String>,
}

/// A release is a text, but often written as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Release {
    Text(String),
    Number(u64),
}

/// Repositories by id, or a list of those that have theirs inside.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Repos {
    Object(BTreeMap<String, Repository>),
    List(Vec<Repository>),
}

impl Default for Repos {
    fn default() -> Self {
        Self::Object(BTreeMap::new())
    }
}

impl Repos {
    fn by_id(self) -> BTreeMap<String, Repository> {
        match self {
            Self::Object(repos) => repos,
            Self::List(repos) => repos
                .into_iter()
                .enumerate()
                .map(|(number, repo)| (repo.id.clone().unwrap_or_else(|| format!("repo{number}")), repo))
                .collect(),
        }
    }
}

/// The pinned stage; its packages become sources.
pub fn pin(stage: &Value, context: &Context, state: &mut State) -> Result<Value> {
    let options: Options = options::read(stage)?;
    if let Some(operation) = options
        .operation
        .as_deref()
        .filter(|operation| *operation != "install")
    {
        return Err(wrong(format!(
            ".operation: `{operation}` cannot be pinned, only `install` can"
        )));
    }
    if options.packages.is_empty() {
        return Err(wrong(": `packages` is empty".into()));
    }
    let mut repositories = options.repos.by_id();
    for (id, repository) in &mut repositories {
        if let Some(url) = context.addresses.get(id) {
            repository.set_baseurl(url.clone());
        }
    }
    check(&repositories)?;
    let checked: Vec<&String> = repositories
        .iter()
        .filter(|(_, repository)| repository.gpgkey.is_some())
        .map(|(id, _)| id)
        .collect();
    let wanted = Wanted {
        releasever: match options.releasever {
            Some(Release::Text(text)) => text,
            Some(Release::Number(number)) => number.to_string(),
            None => return Err(wrong(": `releasever` is missing".into())),
        },
        basearch: options.basearch.unwrap_or_else(|| "x86_64".into()),
        repositories: repositories.clone(),
        packages: options.packages,
        excluded: options.exclude_packages,
        weak_dependencies: options.install_weak_deps.unwrap_or(true),
        module_platform_id: options.module_platform_id,
    };
    let keys = keys(&wanted)?;
    let dnf = Dnf::new(wanted, &context.cache)?;
    print::note(&format!("reading the metadata of {}", list(repositories.keys())));
    let (packages, newest) = dnf.solve()?;
    let bytes: u64 = packages.iter().map(|package| package.size).sum();
    print::note(&format!(
        "{} packages, {} MB to download",
        packages.len(),
        bytes / 1_000_000
    ));
    state.newest = state.newest.max(newest);
    let mut items = Map::new();
    let mut references = Map::new();
    for package in &packages {
        let digest = format!("sha256:{}", package.sha256);
        let item = json!({"path": package.path, "mirror": package.chosen.repository});
        items.insert(digest.clone(), item);
        references.insert(digest, reference(package, &checked));
    }
    let mirrors = dnf.repositories().iter().filter_map(|(id, repository)| {
        let (kind, url) = repository.address()?;
        Some((id.clone(), json!({"url": url, "type": kind})))
    });
    state.add_source(items, mirrors.collect())?;
    let mut pinned = json!({
        "type": "org.osbuild.rpm",
        "inputs": {
            "packages": {
                "type": "org.osbuild.files",
                "origin": "org.osbuild.source",
                "references": references,
            },
        },
    });
    if !keys.is_empty() {
        pinned["options"] = json!({"gpgkeys": keys});
    }
    Ok(pinned)
}

fn reference(package: &Pinned, checked: &[&String]) -> Value {
    if checked.contains(&&package.chosen.repository) {
        json!({"metadata": {"rpm.check_gpg": true}})
    } else {
        json!({})
    }
}

fn wrong(what: String) -> Failure {
    Failure::input(format!("options of org.osbuild.dnf{what}"))
}

fn check(repositories: &BTreeMap<String, Repository>) -> Result<()> {
    if repositories.is_empty() {
        return Err(wrong(": `repos` is empty".into()));
    }
    for (id, repository) in repositories {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if id.is_empty() || !id.chars().all(letter) {
            return Err(wrong(format!(".repos: `{id}` is no id of a repository")));
        }
        let Some((kind, url)) = repository.address() else {
            return Err(wrong(format!(
                ".repos.{id}: there is none of baseurl, metalink, mirrorlist"
            )));
        };
        if !url.contains(":/") || url.contains(char::is_whitespace) {
            return Err(wrong(format!(".repos.{id}.{kind}: `{url}` is no URL")));
        }
    }
    Ok(())
}

/// The keys of the repositories as text, each once.
fn keys(wanted: &Wanted) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for (id, repository) in &wanted.repositories {
        for key in repository.gpgkey.iter().flat_map(|keys| keys.list()) {
            let text = key_text(&wanted.substitute(key))
                .map_err(|what| wrong(format!(".repos.{id}.gpgkey: {what}")))?;
            if !keys.contains(&text) {
                keys.push(text);
            }
        }
    }
    Ok(keys)
}

fn key_text(key: &str) -> std::result::Result<String, String> {
    if crate::apt::is_armored(key.as_bytes()) {
        return Ok(key.to_owned());
    }
    let path = key.strip_prefix("file://").unwrap_or(key);
    if path.contains("://") {
        return Err(format!(
            "`{key}` is neither a key nor a file; put the armored key there"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read the key {path}: {error}"))
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
