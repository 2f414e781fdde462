//! `cargo xtask bench`: how long things take, as medians with the machine's noise.
//!
//! What is compared is measured by turns, so that a machine that gets slower slows all of them. Where `PEER_OSBUILD` (or
//! `--peer`) is a checkout of the Python osbuild, it runs the same no-op pipelines, in the same rounds.

mod builder;
mod image;
mod noop;
mod series;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use support::{Binaries, left_behind};

use crate::executables::Executables;
use crate::progress::Steps;

/// Measure
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A checkout of the Python osbuild, to compare with; `PEER_OSBUILD` by default
    #[arg(long, value_name = "DIR")]
    peer: Option<PathBuf>,
    /// How often everything small is measured
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Leave out the image of samples/debian-minimal.toml
    #[arg(long)]
    no_image: bool,
    /// Where stores and images are made, and removed again
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
    #[command(flatten)]
    executables: Executables,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut steps = Steps::new(if options.no_image { 2 } else { 3 });
    steps.next("building the executables");
    let binaries = options.executables.get(None)?;
    let scratch = tempfile::Builder::new()
        .prefix("osbuild-bench-")
        .tempdir_in(&options.dir)
        .with_context(|| format!("cannot make a directory in {}", options.dir.display()))?;
    let tables = measure(options, &mut steps, &binaries, scratch.path());
    let left = left_behind(scratch.path());
    if !left.is_empty() {
        // what is mounted there may be the machine's own
        let dir = scratch.keep();
        say!("not removing {}, since this was left behind:", dir.display());
        left.iter().for_each(|line| say!("  {line}"));
    }
    for table in tables? {
        say!("");
        table::print(&table);
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures everything, a table a subject.
fn measure(
    options: &Options,
    steps: &mut Steps,
    binaries: &Binaries,
    scratch: &Path,
) -> Result<Vec<Vec<table::Row>>> {
    steps.next("no-op pipelines");
    let peer = options
        .peer
        .clone()
        .or_else(|| std::env::var_os("PEER_OSBUILD").map(PathBuf::from));
    let peer = peer.as_deref().map(builder::Builder::peer).transpose()?;
    let mut tables = vec![noop::measure(binaries, peer.as_ref(), options.rounds, scratch)?];
    if !options.no_image {
        steps.next("an image, from the blueprint to the login prompt");
        tables.push(image::measure(binaries, scratch)?);
    }
    Ok(tables)
}
