//! `cargo xtask bench`: how long things take, beside those who do the same.
//!
//! What is compared is measured by turns, so that a machine that gets slower slows all of them; figures are medians. Where
//! `PEER_OSBUILD` (or `--peer`) is a checkout of the Python osbuild, it builds the same manifests. What has nobody to be
//! compared with on this machine is skipped by name. `--instructions` counts instead what the hot paths execute.

mod builder;
mod chart;
mod convert;
mod debian;
mod disk;
mod image;
mod instructions;
mod jobs;
mod layers;
mod mkosi;
mod noop;
mod outcome;
mod page;
mod payload;
mod scale;
mod series;
mod sources;
mod spent;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use support::{Binaries, left_behind, repository};

use self::builder::Builder;
use self::outcome::Outcome;
use crate::executables::Executables;
use crate::progress::Steps;

/// Measure
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A checkout of the Python osbuild, to compare with; `PEER_OSBUILD` by default
    #[arg(long, value_name = "DIR")]
    peer: Option<PathBuf>,
    /// Measure this alone; repeatable. By default all of them but `image`
    #[arg(long, value_name = "NAME", value_parser = ROWS.map(|row| row.key))]
    only: Vec<String>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Files of the larger tree of `scale`; they are 27 kB each
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1000..))]
    scale: u64,
    /// Take the figures into docs/benchmarks.md and its chart
    #[arg(long)]
    write: bool,
    /// Count the instructions of the hot paths with valgrind, and compare them with what was counted before
    #[arg(long, conflicts_with_all = ["only", "write"])]
    instructions: bool,
    /// With `--instructions`: keep the counts as those to compare with
    #[arg(long, requires = "instructions")]
    accept: bool,
    /// Run one of the hot paths in this process, which the caller has built and times
    #[arg(long, hide = true, value_names = ["NAME", "ARGUMENT"], num_args = 2..)]
    hot: Option<Vec<String>>,
    /// Where stores and images are made, and removed again
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
    #[command(flatten)]
    executables: Executables,
}

/// A part of the table.
struct Rows {
    /// Its name for `--only`.
    key: &'static str,
    what: &'static str,
    measure: fn(&Bench<'_>) -> Result<Vec<Outcome>>,
}

/// All of them, in the order of the page.
const ROWS: [Rows; 9] = [
    Rows {
        key: "noop",
        what: "pipelines of no-op stages, fresh and cached",
        measure: noop::measure,
    },
    Rows {
        key: "disk",
        what: "an archive becomes a disk",
        measure: disk::measure,
    },
    Rows {
        key: "layers",
        what: "the tree of every stage is kept",
        measure: layers::measure,
    },
    Rows {
        key: "convert",
        what: "raw disks become qcow2",
        measure: convert::measure,
    },
    Rows {
        key: "debian",
        what: "a Debian server from packages",
        measure: debian::measure,
    },
    Rows {
        key: "jobs",
        what: "two pipelines at once",
        measure: jobs::measure,
    },
    Rows {
        key: "scale",
        what: "ten times the files",
        measure: scale::measure,
    },
    Rows {
        key: "sources",
        what: "many small downloads",
        measure: sources::measure,
    },
    Rows {
        key: "image",
        what: "from the blueprint to the login prompt, without a target",
        measure: image::measure,
    },
];

/// What the rows are measured with.
pub(in crate::bench) struct Bench<'a> {
    binaries: &'a Binaries,
    ours: Builder,
    peer: Option<Builder>,
    runs: u32,
    scale: u64,
    scratch: &'a Path,
}

impl Bench<'_> {
    /// A fresh directory.
    fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.join(name);
        builder::remove(&[&dir])?;
        std::fs::create_dir(&dir)?;
        Ok(dir)
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(hot) = &options.hot {
        instructions::run_hot(hot)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.instructions {
        return instructions::compare(options.accept);
    }
    let wanted = |row: &&Rows| match options.only.is_empty() {
        true => row.key != "image",
        false => options.only.iter().any(|key| key == row.key),
    };
    let rows: Vec<&Rows> = ROWS.iter().filter(wanted).collect();
    let mut steps = Steps::new(rows.len() + 1);
    steps.next("building the executables");
    let binaries = options.executables.get(None)?;
    let scratch = tempfile::Builder::new()
        .prefix("osbuild-bench-")
        .tempdir_in(&options.dir)
        .with_context(|| format!("cannot make a directory in {}", options.dir.display()))?;
    let peer = options
        .peer
        .clone()
        .or_else(|| std::env::var_os("PEER_OSBUILD").map(PathBuf::from));
    if peer.is_none() {
        say!("skipped: all comparisons with the Python osbuild: name a checkout of it with --peer");
    }
    let bench = Bench {
        ours: Builder::ours(&binaries),
        peer: peer.as_deref().map(Builder::peer).transpose()?,
        binaries: &binaries,
        runs: options.runs,
        scale: options.scale,
        scratch: scratch.path(),
    };
    let mut outcomes = Vec::new();
    let mut failures = Vec::new();
    for row in rows {
        steps.next(row.what);
        match (row.measure)(&bench) {
            Ok(found) => outcomes.extend(found),
            // the others are worth having
            Err(error) => failures.push(format!("{}: {error:#}", row.key)),
        }
    }
    let left = left_behind(scratch.path());
    if left.is_empty() {
        // what root made cannot be removed by everyone
        builder::remove(&[scratch.path()])?;
    } else {
        // what is mounted there may be the machine's own
        let dir = scratch.keep();
        say!("not removing {}, since this was left behind:", dir.display());
        left.iter().for_each(|line| say!("  {line}"));
    }
    say!("");
    table::print(&outcomes);
    if options.write {
        page::write(&repository().join("docs"), &outcomes, &options.dir)?;
    }
    ensure!(failures.is_empty(), "not measured: {}", failures.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// Whether there is such a program.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // tools for disks are not in everybody's PATH
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places
        .into_iter()
        .any(|place: PathBuf| place.join(program).is_file())
}
