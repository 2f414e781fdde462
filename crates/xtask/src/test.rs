//! `cargo xtask test`

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use support::{Binaries, Profile, repository};

use crate::progress::Steps;
use crate::{apt, packages, privilege};

/// Install what the tests need, and run them all
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Handed to `cargo test`, after `--workspace`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut steps = Steps::new(4);
    steps.next("packages");
    apt::install(&packages::test())?;

    steps.next("the executables under test");
    let binaries = Binaries::build(Profile::Dev, None)?;

    steps.next("an osbuild with failpoints");
    let failpoints = binaries.with_failpoints()?;

    steps.next("tests");
    let (variable, directory) = binaries.variable();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--workspace"])
        .current_dir(repository())
        .env(variable, directory)
        .env("OSBUILD_TEST_FAILPOINTS", failpoints);
    // one failure must not hide the others
    let has = |option: &str| options.args.iter().any(|arg| arg == option);
    if !has("--no-fail-fast") && !has("--no-run") {
        command.arg("--no-fail-fast");
    }
    if !privilege::is_root() {
        // cargo itself stays who it is: only the tests are run as root
        let runner = format!("CARGO_TARGET_{}_RUNNER", host_triple()?);
        command.env(runner, "sudo --preserve-env");
    }
    let status = command.args(&options.args).status().context("cannot run cargo")?;
    Ok(match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    })
}

/// The platform, as it stands in the names of cargo's variables.
fn host_triple() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it compiles for")?;
    Ok(host.to_uppercase().replace(['-', '.'], "_"))
}
