//! Running the file systems' own tools.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Where commands are.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with an environment of its own: only `PATH`, the C locale and UTC.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns what it printed. An error carries the last lines of its stderr.
pub fn run(command: &mut Command) -> Result<String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let failed = |how: String| Error::Tool {
        tool: tool.clone(),
        how,
    };
    let _span = trace::span(&tool);
    let output = command.output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => failed("is not there: add its package to the build root".into()),
        _ => failed(format!("cannot be run: {e}")),
    })?;
    let log = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprint!("{log}");
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let last: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    eprintln!("{tool} {}\n{log}", words.join(" "));
    let last = last.last().map_or("", |line| line.trim());
    Err(failed(format!("failed with {}: {last}", output.status)))
}
