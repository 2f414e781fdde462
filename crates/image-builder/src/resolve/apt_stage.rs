//! `org.osbuild.apt` becomes `org.osbuild.deb`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, State, options};
use crate::apt::{self, Apt, Pinned, Repository};
use crate::compose;
use crate::distro::{Distro, Machine};
use crate::error::{Failure, Result};
use crate::generate::{deb_stage, pinned_sources};
use crate::print;

/// Options of `org.osbuild.apt`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// By id; the machine's own where there are none.
    repos: BTreeMap<String, Repo>,
    packages: Vec<String>,
    /// The distribution whose repositories are taken where none are named; the machine's own by default.
    distro: Option<String>,
    // these are handed on to `org.osbuild.deb`
    debconf: Option<Value>,
    exclude: Option<Value>,
    unpack_only: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Repo {
    url: String,
    suites: Vec<String>,
    components: Vec<String>,
    /// A file, or the armored key itself.
    key: Option<String>,
    /// Taken without a signature.
    trusted: bool,
}

/// What the stages of a pipeline have installed so far.
#[derive(Debug, Default)]
pub struct Installed {
    wanted: Vec<String>,
    digests: BTreeSet<String>,
}

/// The pinned stage; its packages become sources.
pub fn pin(stage: &Value, context: &Context, installed: &mut Installed, state: &mut State) -> Result<Value> {
    let options: Options = options::read(stage)?;
    let machine = Machine::read(Path::new("/"));
    let distro = match &options.distro {
        Some(id) => Distro::find(id)?,
        // with repositories of its own a pipeline need not be of a distribution that we know
        None => Distro::of_machine(&machine).or_else(|failure| match options.repos.is_empty() {
            true => Err(failure),
            false => Distro::find("debian-13"),
        })?,
    };
    let repositories = if options.repos.is_empty() {
        compose::of_machine(&machine, distro, false)?
    } else {
        let repos = options.repos.iter();
        repos
            .map(|(id, repo)| repository(id, repo, context))
            .collect::<Result<_>>()?
    };
    if options.packages.is_empty() {
        return Err(Failure::input("options of org.osbuild.apt: `packages` is empty"));
    }
    let mut apt = Apt::new(repositories, &context.cache)?;
    print::note("reading the package lists");
    let available = apt.update()?;
    let unpacked = options.unpack_only == Some(true);
    // a system that runs has the essential packages; one that is only unpacked has just what is named
    if !unpacked {
        installed.wanted.extend(available.required.iter().cloned());
        let usual = ["apt", "usr-is-merged"]
            .into_iter()
            .filter(|name| available.is_real(name));
        installed.wanted.extend(usual.map(str::to_owned));
    }
    installed.wanted.extend(options.packages.iter().cloned());
    installed.wanted.sort();
    installed.wanted.dedup();
    let packages = apt.solve(&available, &installed.wanted, distro)?;
    let packages: Vec<Pinned> = packages
        .into_iter()
        .filter(|package| installed.digests.insert(package.sha256.clone()))
        .collect();
    state.newest = state.newest.max(apt.newest_release());
    let mut source = pinned_sources(packages.iter(), apt.repositories());
    if let Some(Value::Object(mut source)) = source.remove("org.osbuild.librepo") {
        let items = source.remove("items").unwrap_or_default();
        let mirrors = source.get("options").map(|options| options["mirrors"].clone());
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        state.add_source(object(items), object(mirrors.unwrap_or_default()))?;
    }
    Ok(pinned_stage(stage, &packages, &options))
}

fn pinned_stage(stage: &Value, packages: &[Pinned], options: &Options) -> Value {
    let mut handed_on = json!({});
    let given = [
        ("debconf", options.debconf.clone()),
        ("exclude", options.exclude.clone()),
        ("unpack_only", options.unpack_only.map(Value::from)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            handed_on[name] = value;
        }
    }
    let mut pinned = deb_stage(packages, handed_on);
    for member in ["devices", "mounts"] {
        if let Some(value) = stage.get(member) {
            pinned[member] = value.clone();
        }
    }
    pinned
}

fn repository(id: &str, repo: &Repo, context: &Context) -> Result<Repository> {
    let url = context.addresses.get(id).unwrap_or(&repo.url);
    let wrong = |what: &str| {
        Err(Failure::input(format!(
            "options of org.osbuild.apt: .repos.{id}{what}"
        )))
    };
    if !url.contains(":/") || url.contains(char::is_whitespace) {
        return wrong(&format!(".url: `{url}` is no URL"));
    }
    if repo.suites.is_empty() {
        return wrong(": `suites` is empty");
    }
    let words = repo.suites.iter().chain(&repo.components);
    if let Some(word) = words.into_iter().find(|word| word.contains(char::is_whitespace)) {
        return wrong(&format!(": `{word}` is no name of a suite or component"));
    }
    let flat = repo.suites.iter().any(|suite| suite.ends_with('/'));
    let components = match repo.components.is_empty() && !flat {
        true => vec!["main".to_owned()],
        false => repo.components.clone(),
    };
    Ok(Repository {
        id: Some(id.to_owned()),
        uri: url.trim_end_matches('/').to_owned(),
        suites: repo.suites.clone(),
        components,
        signed_by: repo.key.as_deref().map(apt::key_field).transpose()?,
        trusted: repo.trusted,
        fields: Vec::new(),
    })
}
