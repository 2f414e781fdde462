//! Pulling a commit with the program `ostree`, into a repository of its own, from which it is then taken over.
//!
//! The store's repository is never configured for a remote: others use it at the same time, and nothing of it must stay
//! when we are killed.

use std::path::Path;

use ostree::object::Kind;
use ostree::{Archive, Checksum};
use tree::Tree;

use super::remote::Remote;
use crate::pool::Stop;
use crate::tool::HostTool;

/// What the remote is called in the repository.
const REMOTE: &str = "origin";

/// Brings a commit into `archive`, by way of the directory `draft`.
pub(super) fn pull(
    remote: &Remote,
    commit: Checksum,
    archive: &Archive,
    draft: &Path,
    stop: &Stop,
) -> Result<(), String> {
    let repo = format!("--repo={}", draft.join("repo").display());
    let run = |args: &[&str], input: &str| {
        HostTool::find(
            "ostree",
            "pulling commits that are signed, or from such a repository,",
        )?
        .args(args)
        .arg(&repo)
        .env("TMPDIR", draft)
        .stdin(input)
        .succeed(stop, &mut || Ok(()))
        .map(drop)
    };
    run(&["init", "--mode=archive"], "")?;
    let mut add = vec![
        "remote".to_owned(),
        "add".into(),
        REMOTE.into(),
        remote.url.clone(),
    ];
    add.extend(settings(remote));
    run(&add.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    for key in &remote.keys {
        run(&["remote", "gpg-import", "--stdin", REMOTE], key)?;
    }
    let cache = format!("--localcache-repo={}", archive.path().display());
    run(&["pull", &cache, REMOTE, &commit.to_string()], "")?;
    let pulled = Tree::open(draft)
        .map_err(ostree::Error::from)
        .and_then(|draft| Archive::open_in(&draft, "repo"))
        .map_err(|e| e.to_string())?;
    let take = || {
        let doubt = archive.begin(commit)?;
        archive.take_objects(&pulled, commit, true, doubt)?;
        archive.finish(commit, &pulled.metadata(Kind::Commit, commit)?)
    };
    take().map_err(|e: ostree::Error| e.to_string())
}

/// The remote's settings, as arguments of `ostree remote add`.
fn settings(remote: &Remote) -> Vec<String> {
    let mut args = Vec::new();
    let mut set = |key: &str, value: &str| args.push(format!("--set={key}={value}"));
    if let Some(identity) = &remote.access.identity {
        set("tls-client-cert-path", &identity.certificate.to_string_lossy());
        set("tls-client-key-path", &identity.key.to_string_lossy());
    }
    if let Some(authorities) = &remote.authorities {
        set("tls-ca-path", &authorities.to_string_lossy());
    }
    if let Some(proxy) = &remote.proxy {
        set("proxy", proxy);
    }
    if remote.access.insecure {
        set("tls-permissive", "true");
    }
    if let Some(url) = &remote.content_url {
        args.push(format!("--contenturl={url}"));
    }
    if remote.keys.is_empty() {
        args.push("--no-gpg-verify".into());
    }
    args
}
