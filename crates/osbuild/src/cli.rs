//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser};

use crate::prefixes;

/// Build operating system images from a manifest.
#[derive(Debug, Parser)]
#[command(name = "osbuild", disable_version_flag = true)]
pub(crate) struct Options {
    /// The manifest: a file, or `-` for stdin
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,

    /// Directory that keeps trees and downloads
    #[arg(
        long,
        alias = "cache",
        value_name = "DIR",
        default_value = ".osbuild",
        overrides_with = "store"
    )]
    pub(crate) store: PathBuf,

    /// Directory with further modules (`stages/NAME` and so on); repeatable, searched before our own
    #[arg(short, long, value_name = "DIR")]
    pub(crate) libdir: Vec<PathBuf>,

    /// Build, and put the files of the assembler, or the last pipeline's tree, into DIR
    #[arg(short, long, value_name = "DIR", overrides_with = "output")]
    pub(crate) output: Option<PathBuf>,

    /// Directory for what is exported; without `--export` only the sources are fetched
    #[arg(long, value_name = "DIR", overrides_with = "output_directory")]
    pub(crate) output_directory: Option<PathBuf>,

    /// Copy the tree of this pipeline (name or id) to DIR/NAME; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<String>,

    /// Print the result as one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Stop a stage that runs longer
    #[arg(long, value_name = "SECONDS", overrides_with = "stage_timeout")]
    pub(crate) stage_timeout: Option<u64>,

    /// Base address of the repository ID that a manifest names; repeatable
    #[arg(long, value_name = "ID=URL", value_parser = repository)]
    pub(crate) repo: Vec<(String, String)>,

    /// Print the version
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
}

impl Options {
    /// The limit for each stage.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.stage_timeout
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    /// Repository ids and their addresses.
    pub(crate) fn repos(&self) -> BTreeMap<String, String> {
        self.repo.iter().cloned().collect()
    }
}

fn repository(text: &str) -> Result<(String, String), String> {
    let (id, url) = text.split_once('=').ok_or("it must have the form ID=URL")?;
    Ok((id.to_owned(), url.trim_end_matches('/').to_owned()))
}

/// Reads the arguments. The error is the exit code, after help, version or usage was printed.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, ExitCode> {
    let args: Vec<OsString> = std::iter::once("osbuild".into())
        .chain(prefixes::expand(args))
        .collect();
    if args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--version")
    {
        let major = env!("CARGO_PKG_VERSION_MAJOR");
        crate::print::stdout(&format!("osbuild {major}\n"));
        return Err(ExitCode::SUCCESS);
    }
    Options::try_parse_from(args).map_err(|error| {
        let code = if error.use_stderr() { 2 } else { 0 };
        // a closed pipe is no reason to fail
        let _ = error.print();
        ExitCode::from(code)
    })
}
