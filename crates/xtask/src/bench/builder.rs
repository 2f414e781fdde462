//! Those who build: ours, and the Python osbuild from a checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use support::Binaries;

use crate::privilege::as_root;

/// Distributions have it there; a `python3` of somebody's own lacks the libraries, and may be a slow wrapper.
const PYTHON: &str = "/usr/bin/python3";

/// Something with osbuild's command line.
#[derive(Debug)]
pub(super) struct Builder {
    program: PathBuf,
    /// The checkout of the Python osbuild.
    checkout: Option<PathBuf>,
}

impl Builder {
    pub(super) fn ours(binaries: &Binaries) -> Self {
        Self {
            program: binaries.osbuild(),
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

    fn command(&self) -> Command {
        let Some(checkout) = &self.checkout else {
            return as_root(&self.program);
        };
        let mut python_path = std::ffi::OsString::from("PYTHONPATH=");
        python_path.push(checkout);
        let mut command = as_root("env");
        command.arg(python_path).arg(&self.program);
        command.args(["-m", "osbuild", "--libdir"]).arg(checkout);
        command
    }

    /// Builds the pipeline `tree` of a manifest and exports it; how long that took.
    ///
    /// With `keep` its tree stays in the store. (Ours always does.)
    ///
    /// # Errors
    /// The build fails.
    pub(super) fn build(&self, manifest: &Path, store: &Path, out: &Path, keep: bool) -> Result<Duration> {
        let mut command = self.command();
        command.arg(manifest).arg("--store").arg(store);
        command.arg("--output-directory").arg(out);
        command.args(["--export", "tree"]);
        if keep && self.checkout.is_some() {
            // a new store of theirs keeps nothing until it has a size
            command.args(["--checkpoint", "tree", "--cache-max-size", "unlimited"]);
        }
        timed(&mut command)
    }
}

/// How long a command took that must succeed.
pub(super) fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let time = start.elapsed();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(time)
}
