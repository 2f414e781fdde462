//! Running dnf.
//!
//! The installation root stays empty: nothing is ever installed into it. It is kept with the metadata in the cache, one
//! for each set of repositories, so that a second run only asks whether the metadata is still current.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use super::primary::{self, Repomd};
use super::repo::substitute;
use super::{Chosen, Pinned, Wanted, table};
use crate::child;
use crate::error::{Failure, OrFail, Result};

/// Where dnf keeps metadata, below the installation root.
const METADATA: &str = "var/cache/dnf";

/// A dnf with a set of repositories.
#[derive(Debug)]
pub struct Dnf {
    dir: PathBuf,
    wanted: Wanted,
    /// Held while the metadata is in use.
    _lock: File,
}

impl Dnf {
    /// Sets up the directories of a run below `cache`.
    pub fn new(mut wanted: Wanted, cache: &Path) -> Result<Self> {
        let (releasever, basearch) = (wanted.releasever.clone(), wanted.basearch.clone());
        for repository in wanted.repositories.values_mut() {
            repository.map_address(|url| substitute(url, &releasever, &basearch));
        }
        let repositories: String = wanted
            .repositories
            .iter()
            .map(|(id, repository)| repository.section(id))
            .collect();
        let seed = format!("{} {}\n{repositories}", wanted.releasever, wanted.basearch);
        let dir = cache.join("dnf").join(&hex::encode(Sha256::digest(&seed))[..16]);
        let place = dir.display().to_string();
        let what = || format!("cannot set up dnf in {place}");
        for name in ["root", "repos", "vars", "log"] {
            std::fs::create_dir_all(dir.join(name)).or_fail(what)?;
        }
        let lock = File::create(dir.join("lock")).or_fail(what)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).or_fail(what)?;
        std::fs::write(dir.join("repos/all.repo"), &repositories).or_fail(what)?;
        std::fs::write(dir.join("dnf.conf"), configuration(&dir, &wanted)).or_fail(what)?;
        Ok(Self {
            dir,
            wanted,
            _lock: lock,
        })
    }

    /// The repositories, their addresses without variables.
    pub fn repositories(&self) -> &BTreeMap<String, super::Repository> {
        &self.wanted.repositories
    }

    /// The packages dnf would install into an empty system, and when the newest of the repositories was made.
    pub fn solve(&self) -> Result<(Vec<Pinned>, Option<i64>)> {
        let output = self.run()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let chosen = table::parse(&text);
        // with --assumeno it fails where all went well
        if chosen.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::failed(format!(
                "dnf finds no way to install this\n{said}"
            )));
        }
        let mut pinned = Vec::new();
        let mut newest = None;
        for id in self.wanted.repositories.keys() {
            let of_this: Vec<Chosen> = chosen
                .iter()
                .filter(|one| one.repository == *id)
                .cloned()
                .collect();
            if !of_this.is_empty() {
                let (found, Repomd { made, .. }) = primary::pin(&self.metadata(id)?, &of_this)?;
                pinned.extend(found);
                newest = newest.max(made);
            }
        }
        let missing = chosen
            .iter()
            .find(|one| !pinned.iter().any(|pinned| pinned.chosen == **one));
        if let Some(missing) = missing {
            return Err(Failure::failed(format!(
                "the repository `{}` has no SHA-256 of {}-{}.{}",
                missing.repository, missing.name, missing.evr, missing.arch
            )));
        }
        pinned.sort_by(|a, b| a.chosen.cmp(&b.chosen));
        pinned.dedup();
        Ok((pinned, newest))
    }

    /// The directory dnf has put the metadata of a repository into.
    fn metadata(&self, id: &str) -> Result<PathBuf> {
        let dir = self.dir.join("root").join(METADATA);
        let what = || format!("cannot read {}", dir.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&dir).or_fail(what)? {
            let entry = entry.or_fail(what)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // `ID-` and 16 hex digits
            let digest = name.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
            let is_of = digest.is_some_and(|digest| digest.chars().all(|c| c.is_ascii_hexdigit()));
            if is_of && entry.path().join("repodata/repomd.xml").exists() {
                found.push(entry.path());
            }
        }
        found.sort();
        found
            .pop()
            .ok_or_else(|| Failure::failed(format!("dnf left no metadata of `{id}` in {}", dir.display())))
    }

    fn run(&self) -> Result<Output> {
        let wanted = &self.wanted;
        let mut command = Command::new("dnf");
        command
            .arg(format!("--config={}", self.dir.join("dnf.conf").display()))
            .arg(format!("--installroot={}", self.dir.join("root").display()))
            .arg(format!("--releasever={}", wanted.releasever))
            .arg(format!("--forcearch={}", wanted.basearch))
            .arg(format!("--setopt=reposdir={}", self.dir.join("repos").display()))
            .args(["--refresh", "--assumeno", "install"])
            .args(&wanted.packages)
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "200");
        child::output(&mut command).map_err(|error| {
            let failure = Failure::failed(format!("cannot run `dnf`: {error}"));
            if error.kind() == ErrorKind::NotFound {
                failure
                    .hint("packages of the Red Hat family are resolved with dnf; install the package `dnf`")
            } else {
                failure
            }
        })
    }
}

fn configuration(dir: &Path, wanted: &Wanted) -> String {
    let place = dir.display();
    // paths of dnf's own are below the installation root, except for those of what it is given
    let mut text = format!(
        "[main]\ncachedir=/{METADATA}\nlogdir=/var/log\npersistdir=/var/lib/dnf\nvarsdir={place}/vars\n\
         reposdir={place}/repos\nplugins=0\nzchunk=0\ngpgcheck=0\nbest=1\ninstall_weak_deps={}\n",
        u8::from(wanted.weak_dependencies)
    );
    if let Some(id) = &wanted.module_platform_id {
        text.push_str(&format!("module_platform_id={id}\n"));
    }
    if !wanted.excluded.is_empty() {
        text.push_str(&format!("excludepkgs={}\n", wanted.excluded.join(",")));
    }
    text
}
