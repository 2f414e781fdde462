//! Fetch OSTree commits.
//!
//! Each item is the checksum of a commit; `remote` says which repository has it (`url`, and `contenturl` where files come
//! from another address). Objects are downloaded several at a time, each compared with its checksum; those that are there
//! already are not, so a pull that broke off goes on where it stopped. The store keeps all commits in one archive
//! repository; a commit enters it last.
//!
//! Where `gpgkeys` are given the commit must be signed with one of them; the program `ostree` then does the work, as it
//! does for repositories that are no archives and for lists of mirrors.
//!
//! `secrets` name a client certificate: `org.osbuild.mtls` takes it from the environment variables
//! `OSBUILD_SOURCES_OSTREE_SSL_CLIENT_CERT` and `OSBUILD_SOURCES_OSTREE_SSL_CLIENT_KEY`, with the authorities of
//! `OSBUILD_SOURCES_OSTREE_SSL_CA_CERT` if that is set; `org.osbuild.rhsm.consumer` is the identity of a machine with a
//! Red Hat subscription. With `OSBUILD_SOURCES_OSTREE_INSECURE=true` the server's certificate is not checked.
//! `OSBUILD_SOURCES_OSTREE_PROXY` names the proxy, else `http_proxy` and its like do.

mod pull;
mod remote;
mod tool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostree::{Archive, Checksum};
use serde_json::{Map, Value, json};
use tree::Tree;

use crate::client::Client;
use crate::content::Content;
use crate::download::Downloads;
use crate::draft::Draft;
use crate::machine::Machine;
use crate::pool::{Reporter, Stop};
use crate::{Outcome, Request, SourceModule, describe, work};

use pull::Pull;
use remote::Remote;

const NAME: &str = "org.osbuild.ostree";

/// Objects at a time, of one commit.
const JOBS: usize = 8;

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch: |request| fetch(request, &Machine::this()),
    meta: || describe(NAME, &[], include_str!("ostree.rs"), schema()),
};

/// What the pulls of one call share.
struct Session {
    /// Of the repository.
    dir: PathBuf,
    machine: Machine,
    downloads: Arc<Downloads>,
    stop: Stop,
    jobs: usize,
}

pub(crate) fn fetch(request: &Request<'_>, machine: &Machine) -> Outcome {
    let dir = request.cache.join(NAME);
    let stop = Stop::default();
    let machine = remote::machine(machine);
    let jobs = if request.jobs == 0 { JOBS } else { request.jobs };
    let client = Client::new(machine.clone(), stop.clone(), jobs);
    let content = Content::new(request.cache);
    let downloads = Arc::new(Downloads::new(client, content, stop.clone()));
    let session = Session {
        dir: dir.clone(),
        machine,
        downloads: downloads.clone(),
        stop: stop.clone(),
        jobs,
    };
    let one_by_one = Request {
        jobs: 1,
        ..copy(request)
    };
    work::each(
        &one_by_one,
        (1, &stop, &|| downloads.shutdown()),
        |(item, _)| is_there(&dir, checksum(item)?),
        move |(item, description), reporter| {
            session
                .bring(item, description, reporter)
                .map_err(|e| format!("cannot fetch the commit {item}: {e}"))
        },
    )
}

fn copy<'a>(request: &Request<'a>) -> Request<'a> {
    Request { ..*request }
}

fn checksum(item: &str) -> Result<Checksum, String> {
    Checksum::parse(item)
        .filter(|checksum| checksum.to_string() == item)
        .ok_or_else(|| format!("`{item}` is not the checksum of a commit: 64 digits of 0-9 and a-f"))
}

fn is_there(dir: &Path, commit: Checksum) -> Result<bool, String> {
    if !dir.join("repo/config").exists() {
        return Ok(false);
    }
    let archive = Tree::open(dir).map_err(ostree::Error::from);
    let archive = archive.and_then(|dir| Archive::open_in(&dir, "repo"));
    Ok(archive.map_err(|e| e.to_string())?.is_whole(commit))
}

impl Session {
    fn bring(&self, item: &str, description: &Value, reporter: &Reporter<'_>) -> Result<(), String> {
        let commit = checksum(item)?;
        let (remote, warning) = Remote::of(description, &self.machine)?;
        if let Some(warning) = warning {
            reporter.retry(warning);
        }
        fault::step!(std::fs::create_dir_all(&self.dir))
            .map_err(|e| format!("cannot make {}: {e}", self.dir.display()))?;
        let archive = Tree::open(&self.dir)
            .map_err(ostree::Error::from)
            .and_then(|dir| Archive::open_or_create(&dir, "repo"))
            .map_err(|e| e.to_string())?;
        let pull = Pull {
            downloads: &self.downloads,
            archive: &archive,
            remote: &remote,
            stop: &self.stop,
            reporter,
        };
        if remote.is_plain() && pull.is_archive()? {
            return pull.run(commit, self.jobs);
        }
        let draft = Draft::new(&self.dir)?;
        tool::pull(&remote, commit, &archive, draft.path(), &self.stop)
    }
}

fn schema() -> Map<String, Value> {
    let secrets = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "org.osbuild.mtls or org.osbuild.rhsm.consumer."},
        },
    });
    let remote = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "description": "Where the repository is."},
            "contenturl": {"type": "string", "description": "Where its files are, if elsewhere."},
            "gpgkeys": {
                "type": "array",
                "items": {"type": "string", "description": "A key that may have signed the commit."},
            },
            "secrets": secrets,
        },
    });
    let item = json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": {
            "[0-9a-f]{5,64}": {
                "type": "object", "additionalProperties": false, "required": ["remote"],
                "properties": {"remote": remote},
            },
        },
    });
    let schema = json!({
        "additionalProperties": false,
        "definitions": {"item": item},
        "properties": {
            "items": {"$ref": "#/definitions/item"},
            "commits": {"$ref": "#/definitions/item"},
        },
        "oneOf": [{"required": ["items"]}, {"required": ["commits"]}],
    });
    Map::from_iter([("schema".to_owned(), schema)])
}

#[cfg(test)]
mod tests;
