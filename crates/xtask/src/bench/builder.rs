//! Those who build: ours, and the Python osbuild from a checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use support::Binaries;

use super::spent::{Spent, spend, spend_watched};
use crate::privilege::{as_root, succeed};

/// Distributions have it there; a `python3` of somebody's own lacks the libraries, and may be a slow wrapper.
const PYTHON: &str = "/usr/bin/python3";

/// Something with osbuild's command line.
#[derive(Debug, Clone)]
pub(super) struct Builder {
    program: PathBuf,
    /// Where ours takes modules from first.
    libdir: Option<PathBuf>,
    /// The checkout of the Python osbuild.
    checkout: Option<PathBuf>,
}

impl Builder {
    pub(super) fn ours(binaries: &Binaries) -> Self {
        Self {
            program: binaries.osbuild(),
            libdir: None,
            checkout: None,
        }
    }

    /// # Errors
    /// The directory is no checkout, or what it needs is not installed.
    pub(super) fn peer(checkout: &Path) -> Result<Self> {
        let checkout = checkout
            .canonicalize()
            .with_context(|| format!("cannot find {}", checkout.display()))?;
        ensure!(
            checkout.join("osbuild/main_cli.py").exists(),
            "{} is no checkout of the Python osbuild",
            checkout.display()
        );
        // it mounts that one unseen, and what it mounted before stays behind
        ensure!(
            Path::new("/etc/containers").is_dir(),
            "the Python osbuild fails without a directory /etc/containers: make one, for the time of the measurement"
        );
        let peer = Self {
            program: PYTHON.into(),
            libdir: None,
            checkout: Some(checkout),
        };
        let works = |command: &mut Command| {
            let output = command.output();
            output.is_ok_and(|output| output.status.success())
        };
        ensure!(
            works(peer.command().arg("--version")) && works(Command::new("bwrap").arg("--version")),
            "the Python osbuild does not run here: install python3-jsonschema and bubblewrap"
        );
        Ok(peer)
    }

    /// Ours, with all modules from a checkout of theirs.
    pub(super) fn with_modules_of(&self, peer: &Self) -> Self {
        Self {
            program: self.program.clone(),
            libdir: peer.checkout.clone(),
            checkout: None,
        }
    }

    fn command(&self) -> Command {
        let Some(checkout) = &self.checkout else {
            let mut command = as_root(&self.program);
            if let Some(libdir) = &self.libdir {
                command.arg("--libdir").arg(libdir);
            }
            return command;
        };
        let mut python_path = std::ffi::OsString::from("PYTHONPATH=");
        python_path.push(checkout);
        let mut command = as_root("env");
        command.arg(python_path).arg(&self.program);
        command.args(["-m", "osbuild", "--libdir"]).arg(checkout);
        command
    }

    /// Builds a pipeline and exports it, or only fetches the sources; what that cost.
    ///
    /// # Errors
    /// The build fails.
    pub(super) fn build(&self, build: &Build<'_>) -> Result<Spent> {
        let mut command = self.command();
        command.arg(build.manifest).arg("--store").arg(build.store);
        command.arg("--output-directory").arg(build.out);
        for export in build.exports {
            command.args(["--export", export]);
        }
        if build.keep && self.checkout.is_some() {
            // a new store of theirs keeps nothing until it has a size
            command.args(["--cache-max-size", "unlimited"]);
            for export in build.exports {
                command.args(["--checkpoint", export]);
            }
        }
        command.args(build.more);
        match build.watched {
            true => spend_watched(&mut command),
            false => spend(&mut command),
        }
    }
}

/// What is to be built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build<'a> {
    pub(super) manifest: &'a Path,
    pub(super) store: &'a Path,
    pub(super) out: &'a Path,
    /// Pipelines.
    pub(super) exports: &'a [&'a str],
    /// Their trees stay in the store. (With ours all always do.)
    pub(super) keep: bool,
    /// Whether to look at the memory.
    pub(super) watched: bool,
    /// Further arguments.
    pub(super) more: &'a [&'a str],
}

impl<'a> Build<'a> {
    /// Builds `manifest` in the directory `dir`, with the store and the exports there.
    pub(super) fn of(manifest: &'a Path, store: &'a Path, out: &'a Path, exports: &'a [&'a str]) -> Self {
        Self {
            manifest,
            store,
            out,
            exports,
            keep: false,
            watched: false,
            more: &[],
        }
    }
}

/// Removes what may be root's, off the clock.
pub(super) fn remove(paths: &[&Path]) -> Result<()> {
    succeed(as_root("rm").arg("-rf").arg("--").args(paths))
}

/// How long a command took that must succeed.
pub(super) fn timed(command: &mut Command) -> Result<Duration> {
    Ok(spend(command)?.wall)
}
