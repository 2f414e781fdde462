//! Download packages from repositories.
//!
//! Each item is a checksum, the `path` of the file below a repository, and the id of that repository, `mirror`. Where
//! the repository lies is sought in this order: what the caller says (`--repo ID=URL`); `options.mirrors` of the
//! manifest, an address (`baseurl`) or where to get a list of addresses (`mirrorlist`, `metalink`); the machine's own
//! apt sources, for the ids `debian`, `debian-security`, `ubuntu` and `ubuntu-security`. So a manifest need not hold
//! the address of the mirror that was near when it was made.
//!
//! Several addresses are tried one after the other. Proxies, certificates and secrets are those of
//! `org.osbuild.curl`; `max-parallels` and `fastest-mirror` are accepted and change nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::attempts::Location;
use crate::curl::Secrets;
use crate::machine::Machine;
use crate::session::Session;
use crate::{Outcome, Request, SourceModule, describe, mirrors, repositories};

const NAME: &str = "org.osbuild.librepo";

/// So many addresses of a list are tried.
const MAX_ADDRESSES: usize = 10;

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch: |request| fetch(request, &Machine::this()),
    meta: || describe(NAME, &[], include_str!("librepo.rs"), schema()),
};

#[derive(Deserialize)]
struct Item {
    path: String,
    mirror: String,
}

/// Where a repository is, or a list that says so.
#[derive(Deserialize)]
struct Mirror {
    url: String,
    #[serde(rename = "type")]
    kind: MirrorKind,
    #[serde(default)]
    insecure: bool,
    secrets: Option<Secrets>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum MirrorKind {
    MirrorList,
    Metalink,
    BaseUrl,
}

/// The addresses of a repository, each with the mirror it comes from.
type Addresses<'a> = Vec<(String, &'a Mirror)>;

pub(crate) fn fetch(request: &Request<'_>, machine: &Machine) -> Outcome {
    let session = Session::begin(request, machine);
    let items: Vec<Result<Item, String>> = session
        .missing()
        .iter()
        .map(|missing| {
            let (item, description) = &request.items[missing.index];
            Item::deserialize(description).map_err(|e| format!("cannot fetch {item}: {e}"))
        })
        .collect();
    let mut repositories = BTreeMap::new();
    for item in items.iter().flatten() {
        repositories
            .entry(item.mirror.as_str())
            .or_insert_with(|| mirrors_of(&item.mirror, request, machine));
    }
    let addresses = addresses(&repositories, &session, machine);
    let places = |item: &Result<Item, String>| {
        let item = item.as_ref().map_err(Clone::clone)?;
        locations(item, &addresses[item.mirror.as_str()], machine)
            .map_err(|e| format!("cannot fetch {}: {e}", item.path))
    };
    let all = items.iter().map(places).collect();
    session.download(all)
}

/// What is known of the repository `id`.
fn mirrors_of(id: &str, request: &Request<'_>, machine: &Machine) -> Result<Vec<Mirror>, String> {
    if let Some(url) = request.repos.get(id) {
        return Ok(vec![Mirror::at(url)]);
    }
    // format 1 hands over the whole source
    let options = request.options.get("options").unwrap_or(request.options);
    if let Some(mirror) = options.get("mirrors").and_then(|mirrors| mirrors.get(id)) {
        let mirror = Mirror::deserialize(mirror).map_err(|e| format!("the mirror `{id}`: {e}"))?;
        return Ok(vec![mirror]);
    }
    let own = repositories::base_addresses(&machine.root, id);
    if own.is_empty() {
        return Err(format!(
            "neither the manifest nor this machine's configuration says where the repository `{id}` is; --repo {id}=URL does"
        ));
    }
    Ok(own.iter().map(|url| Mirror::at(url)).collect())
}

/// The addresses of every repository; lists are fetched for it.
fn addresses<'a>(
    repositories: &'a BTreeMap<&'a str, Result<Vec<Mirror>, String>>,
    session: &Session<'_>,
    machine: &Machine,
) -> BTreeMap<&'a str, Result<Addresses<'a>, String>> {
    let lists = repositories
        .values()
        .flatten()
        .flatten()
        .filter(|m| m.kind != MirrorKind::BaseUrl);
    let lists: Vec<Result<Location, String>> = lists
        .map(|mirror| mirror.location(&mirror.url, machine))
        .collect();
    let mut texts = session
        .texts(lists.iter().flatten().cloned().collect())
        .into_iter();
    let mut texts = lists.into_iter().map(|list| match list {
        Ok(_) => texts.next().unwrap_or_else(|| Err("interrupted".into())),
        Err(error) => Err(error),
    });
    let mut of = |mirrors: &'a [Mirror]| {
        let mut all = Addresses::new();
        let mut error = None;
        for mirror in mirrors {
            let found = match mirror.kind {
                MirrorKind::BaseUrl => Ok(vec![mirror.url.trim_end_matches('/').to_owned()]),
                kind => texts
                    .next()
                    .unwrap_or_else(|| Err("interrupted".into()))
                    .and_then(|text| {
                        let found = match kind {
                            MirrorKind::Metalink => mirrors::of_metalink(&text),
                            _ => mirrors::of_list(&text),
                        };
                        let none = || format!("{} names no mirror", mirror.url);
                        (!found.is_empty()).then_some(found).ok_or_else(none)
                    }),
            };
            match found {
                Ok(found) => all.extend(found.into_iter().take(MAX_ADDRESSES).map(|url| (url, mirror))),
                Err(e) => error = Some(e),
            }
        }
        match error {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    };
    repositories
        .iter()
        .map(|(id, mirrors)| match mirrors {
            Ok(mirrors) => (*id, of(mirrors)),
            Err(error) => (*id, Err(error.clone())),
        })
        .collect()
}

fn locations(
    item: &Item,
    addresses: &Result<Addresses<'_>, String>,
    machine: &Machine,
) -> Result<Vec<Location>, String> {
    let path = item.path.trim_start_matches('/');
    addresses
        .as_ref()
        .map_err(Clone::clone)?
        .iter()
        .map(|(base, mirror)| mirror.location(&format!("{base}/{path}"), machine))
        .collect()
}

impl Mirror {
    /// A repository at an address, which may have apt's forms: `mirror+https://…` and `mirror://…` name a list,
    /// `file:/dir` is `file:///dir`.
    fn at(url: &str) -> Self {
        let list = url
            .strip_prefix("mirror+")
            .map(str::to_owned)
            .or_else(|| Some(format!("http://{}", url.strip_prefix("mirror://")?)));
        let kind = match list {
            Some(_) => MirrorKind::MirrorList,
            None => MirrorKind::BaseUrl,
        };
        let url = list.unwrap_or_else(|| url.to_owned());
        let local = url
            .strip_prefix("file:")
            .or(url.strip_prefix("copy:"))
            .unwrap_or(&url);
        let url = match local {
            path if path.starts_with('/') && !path.starts_with("//") => format!("file://{path}"),
            _ => url,
        };
        Self {
            url,
            kind,
            insecure: false,
            secrets: None,
        }
    }

    fn location(&self, url: &str, machine: &Machine) -> Result<Location, String> {
        let secrets = self.secrets.as_ref().map(|s| s.name.as_str());
        Ok(Location {
            url: url.to_owned(),
            access: Access::new(machine, url, self.insecure, secrets)?,
        })
    }
}

fn schema() -> Map<String, Value> {
    let schema = json!({
        "additionalProperties": false,
        "properties": {
            "items": {
                "type": "object",
                "additionalProperties": false,
                "patternProperties": {
                    "^(sha1|sha256|sha384|sha512):[0-9a-f]{40,128}$": {
                        "type": "object",
                        "required": ["path", "mirror"],
                        "properties": {
                            "path": {"type": "string", "description": "Where the file is below the repository."},
                            "mirror": {"type": "string", "description": "The id of the repository."}
                        }
                    }
                }
            },
            "options": {
                "type": "object",
                "properties": {
                    "mirrors": {
                        "type": "object",
                        "additionalProperties": false,
                        "patternProperties": {
                            "^[0-9a-zA-Z-._:]+$": {
                                "type": "object",
                                "required": ["url", "type"],
                                "properties": {
                                    "url": {"type": "string", "description": "Where the repository, or the list, is."},
                                    "type": {
                                        "type": "string",
                                        "description": "What `url` is.",
                                        "enum": ["mirrorlist", "metalink", "baseurl"]
                                    },
                                    "max-parallels": {"type": "number", "description": "Accepted, without effect."},
                                    "fastest-mirror": {
                                        "type": "boolean",
                                        "description": "Accepted, without effect.",
                                        "default": false
                                    },
                                    "insecure": {
                                        "type": "boolean",
                                        "description": "Do not check the server's certificate.",
                                        "default": false
                                    },
                                    "secrets": {
                                        "type": "object",
                                        "additionalProperties": true,
                                        "required": ["name"],
                                        "properties": {
                                            "name": {
                                                "type": "string",
                                                "description": "org.osbuild.mtls or org.osbuild.rhsm."
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    });
    Map::from_iter([
        ("schema".to_owned(), schema.clone()),
        ("schema_2".to_owned(), schema),
    ])
}

#[cfg(test)]
mod tests;
