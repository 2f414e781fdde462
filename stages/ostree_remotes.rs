//! Add remotes to an OSTree repository.
//!
//! A remote that is there already stays as it is. Without `gpgkeys` and `gpgkeypaths` signatures are not checked.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.remotes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository.
    repo: String,
    /// The remotes.
    #[serde(default)]
    remotes: Vec<Remote>,
}

/// A repository that commits can be pulled from.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Remote {
    /// What it is called.
    name: String,
    /// Where it is.
    url: String,
    /// Where its files are, if elsewhere.
    contenturl: Option<String>,
    /// The branches that are pulled from it.
    #[serde(default)]
    branches: Vec<String>,
    /// Keys that sign its commits.
    #[serde(default)]
    gpgkeys: Vec<String>,
    /// Files, or directories of files, with such keys on the system that will pull.
    #[serde(default)]
    gpgkeypaths: Vec<String>,
}

module::stage! {
    file: "ostree_remotes.rs", name: "org.osbuild.ostree.remotes", options: Options, run: run,
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let repo = sysroot::option("repo", &sysroot::below(args.tree.path(), &args.options.repo));
    add(&args.options.remotes, &repo)
}

/// Adds remotes to the repository that the argument `repo` names.
pub(crate) fn add(remotes: &[Remote], repo: &str) -> Result<()> {
    for remote in remotes {
        let mut words = vec!["remote".to_owned(), "add".into(), "--if-not-exists".into()];
        words.extend(remote.settings());
        words.extend([remote.name.clone(), remote.url.clone()]);
        words.extend(remote.branches.iter().cloned());
        words.push(repo.to_owned());
        sysroot::ostree(&words.iter().map(String::as_str).collect::<Vec<_>>()).run()?;
        for key in &remote.gpgkeys {
            sysroot::ostree(&["remote", "gpg-import", "--stdin", &remote.name, repo])
                .input(key.as_str())
                .run()?;
        }
    }
    Ok(())
}

impl Remote {
    fn settings(&self) -> Vec<String> {
        let mut settings = Vec::new();
        if !self.gpgkeypaths.is_empty() {
            settings.push(format!("--set=gpgkeypath={}", self.gpgkeypaths.join(",")));
            settings.push("--set=gpg-verify=true".into());
        } else if self.gpgkeys.is_empty() {
            settings.push("--no-gpg-verify".into());
        }
        settings.extend(
            self.contenturl
                .as_ref()
                .map(|url| format!("--set=contenturl={url}")),
        );
        settings
    }
}
