//! apt with private directories.
//!
//! The package lists are kept in a cache, one directory for each set of repositories, so that a second run only asks whether
//! they are still current. What a run needs lies beside them, and goes with it; should it be killed, with the next one.

use std::fmt::Write;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use super::index::{Available, Target};
use super::{Repository, release, render};
use crate::error::{Failure, OrFail, Result};
use crate::{child, print};

/// The settings of the machine's apt that a private one needs: how to reach the network. What would weaken the
/// checking of signatures stays behind, and so does what would change the files that are fetched.
const LEFT_BEHIND: &[&str] = &[
    "Acquire::AllowDowngradeToInsecureRepositories",
    "Acquire::AllowInsecureRepositories",
    "Acquire::AllowWeakRepositories",
    "Acquire::Changelogs",
    "Acquire::CompressionTypes",
    "Acquire::GzipIndexes",
    "Acquire::IndexTargets",
    "Acquire::Languages",
];

/// An apt that knows a set of repositories.
#[derive(Debug)]
pub struct Apt {
    scratch: Scratch,
    lists: PathBuf,
    repositories: Vec<Repository>,
    /// Held while the lists are in use: apt gives up at once where another one has them.
    _lock: File,
}

/// A directory for what a run needs, whose name is locked: what one that was killed has left is in the way of nobody.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::fs::create_dir(&path)?;
        child::keep_in_mind(Some(&path));
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // the next run removes what resists
        let _ = std::fs::remove_dir_all(&self.0);
        child::keep_in_mind(None);
    }
}

impl Apt {
    /// Sets up the private directories; the lists are kept below `cache`.
    pub fn new(repositories: Vec<Repository>, cache: &Path) -> Result<Self> {
        let sources = render(&repositories);
        let lists = cache
            .join("apt")
            .join(&hex::encode(Sha256::digest(&sources))[..16]);
        let place = lists.display().to_string();
        let what = || format!("cannot set up apt in {place}");
        std::fs::create_dir_all(lists.join("partial")).or_fail(what)?;
        let lock = File::create(lists.with_extension("lock")).or_fail(what)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).or_fail(what)?;
        let apt = Self {
            scratch: Scratch::new(lists.with_extension("run")).or_fail(what)?,
            lists,
            repositories,
            _lock: lock,
        };
        apt.fill_scratch(&sources).or_fail(what)?;
        Ok(apt)
    }

    fn fill_scratch(&self, sources: &str) -> std::io::Result<()> {
        let dir = &self.scratch.0;
        for name in [
            "etc/sources.list.d",
            "empty.d",
            "state",
            "cache/archives/partial",
            "tmp",
        ] {
            std::fs::create_dir_all(dir.join(name))?;
        }
        std::fs::write(dir.join("status"), "")?;
        std::fs::write(dir.join("etc/sources.list.d/all.sources"), sources)?;
        std::fs::write(dir.join("apt.conf"), self.configuration())
    }

    fn configuration(&self) -> String {
        let dir = self.scratch.0.display();
        let lists = self.lists.display();
        let mut text = format!(
            "Dir \"{dir}/\";\n\
             Dir::State \"{dir}/state/\";\n\
             Dir::State::lists \"{lists}/\";\n\
             Dir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}/cache/\";\n\
             Dir::Cache::pkgcache \"\";\n\
             Dir::Cache::srcpkgcache \"\";\n\
             Dir::Etc \"{dir}/etc/\";\n\
             Dir::Etc::main \"none\";\n\
             Dir::Etc::parts \"{dir}/empty.d\";\n\
             Dir::Etc::preferences \"none\";\n\
             Dir::Etc::preferencesparts \"{dir}/empty.d\";\n\
             Dir::Etc::sourcelist \"none\";\n\
             Dir::Etc::sourceparts \"{dir}/etc/sources.list.d\";\n\
             Dir::Etc::trusted \"/etc/apt/trusted.gpg\";\n\
             Dir::Etc::trustedparts \"/etc/apt/trusted.gpg.d/\";\n\
             Dir::Etc::netrc \"/etc/apt/auth.conf\";\n\
             Dir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\n\
             APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Install-Recommends \"false\";\n\
             APT::Install-Suggests \"false\";\n\
             APT::Update::Error-Mode \"any\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n"
        );
        if rustix::process::geteuid().is_root() {
            // the user apt would change to cannot enter our directories
            text.push_str("APT::Sandbox::User \"root\";\n");
        }
        text.push_str(&machine_settings());
        text
    }

    /// Fetches the package lists, or makes sure that those in the cache are current.
    pub fn update(&mut self) -> Result<Available> {
        loop {
            self.fetch_lists()?;
            let targets = self.targets()?;
            // what answers at the address of the distribution may still be another's
            let foreign = |repository: &Repository| {
                let mut own = targets.iter().filter(|target| target.is_of(repository));
                repository.id.is_none() && own.any(|target| !target.is_official())
            };
            let (others, rest): (Vec<_>, Vec<_>) = self.repositories.drain(..).partition(foreign);
            self.repositories = rest;
            if others.is_empty() {
                return Available::read(targets);
            }
            for other in &others {
                print::note(&format!(
                    "leaving out {}: it is not the distribution's own (`--all-repos` takes it)",
                    other.uri
                ));
            }
            if self.repositories.is_empty() {
                return Err(Failure::input(
                    "this machine has no apt repositories of the distribution itself",
                )
                .hint("name one with `--repo URL`, or take what there is with `--all-repos`"));
            }
            let sources = render(&self.repositories);
            self.fill_scratch(&sources)
                .or_fail(|| "cannot set up apt".to_owned())?;
        }
    }

    fn fetch_lists(&self) -> Result<()> {
        let output = self.run("apt-get", &["-q", "update"])?;
        let said = complaints(&output);
        let missed = said.iter().any(|line| line.contains("Failed to fetch"));
        if output.status.success() && !missed {
            return Ok(());
        }
        let key = said.iter().any(|line| {
            line.contains("NO_PUBKEY") || line.contains("not signed") || line.contains("Missing key")
        });
        let failure = Failure::failed(format!("cannot fetch the package lists\n{}", said.join("\n")));
        Err(failure.hint(if key {
            "the machine has no key for this repository: install the distribution's newest keyring package, or name \
             the key with `--repo URL,key=FILE`"
        } else {
            "the repositories must be reachable from here; `--repo URL` names others"
        }))
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let format = "$(CREATED_BY)\t$(FILENAME)\t$(REPO_URI)\t$(RELEASE)\t$(ORIGIN)";
        let output = self.run("apt-get", &["indextargets", "--format", format])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let target = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [kind, file, uri, suite, origin] = fields[..] else {
                return None;
            };
            (kind == "Packages").then(|| Target {
                file: file.into(),
                uri: uri.into(),
                suite: suite.into(),
                origin: origin.into(),
            })
        };
        Ok(text.lines().filter_map(target).collect())
    }

    /// The newest date of the repositories, in seconds since 1970.
    pub fn newest_release(&self) -> Option<i64> {
        release::newest(&self.lists)
    }

    /// The repositories that are used.
    pub fn repositories(&self) -> &[Repository] {
        &self.repositories
    }

    /// Runs a program of apt's to its end.
    pub(super) fn run(&self, program: &str, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("APT_CONFIG", self.scratch.0.join("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            // what checks signatures makes files there
            .env("TMPDIR", self.scratch.0.join("tmp"));
        child::output(&mut command).map_err(|error| {
            Failure::failed(format!("cannot run `{program}`: {error}"))
                .hint("packages are resolved with apt 2.0 or newer; install the package `apt`")
        })
    }
}

impl Target {
    /// Whether it is an index of this repository.
    pub(super) fn is_of(&self, repository: &Repository) -> bool {
        plain(&self.uri) == plain(&repository.uri) && repository.suites.contains(&self.suite)
    }

    fn is_official(&self) -> bool {
        self.origin == "Debian" || self.origin == "Ubuntu"
    }
}

/// An address in the one form apt prints it in, whichever it was written in: `file:/srv`, `file:///srv/`.
fn plain(uri: &str) -> String {
    let uri = uri.trim_end_matches('/');
    uri.replacen("file:///", "file:/", 1)
        .replacen("copy:///", "copy:/", 1)
}

/// The errors and warnings apt has printed.
pub(super) fn complaints(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("E:") || line.starts_with("W:"));
    lines.map(str::to_owned).collect()
}

/// How the machine's apt reaches the network: proxies, certificates, time-outs.
fn machine_settings() -> String {
    let output = child::output(Command::new("apt-config").arg("dump"));
    let dump = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut text = String::new();
    for line in dump.unwrap_or_default().lines() {
        let left = LEFT_BEHIND.iter().any(|name| line.starts_with(name));
        if line.starts_with("Acquire::") && !left {
            // writing into a string does not fail
            writeln!(text, "{line}").ok();
        }
    }
    text
}
