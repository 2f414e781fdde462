//! `cargo xtask torture`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use support::torture::{Counts, Odds, Scene, builders, kills, power, steps};
use support::{Binaries, Profile, need};

use crate::privilege;
use crate::progress::{Steps, clock};

/// Have everything fail that can, again and again, and see that the store survives
///
/// Faults at every step of a build, builders killed, many of them on one store, power cuts. The first thing that goes wrong
/// ends it, with the seed that has it happen again.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// For how long, beside what is begun by then
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Have the same things happen as in an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Do no more than this
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Begin the first kind of fault with this step: those before it were survived in an earlier run
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// At most so many builders at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    builders: u64,
    /// Take the executables from there instead of building them
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Take this osbuild with failpoints instead of building one
    #[arg(long, value_name = "FILE")]
    failpoints: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Steps,
    Kills,
    Builders,
    Power,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    ensure!(
        privilege::is_root(),
        "torture mounts file systems and kills builders: run it as root"
    );
    let mut progress = Steps::new(2);
    progress.next("an osbuild with failpoints");
    let binaries = match &options.bin_dir {
        Some(dir) => Binaries {
            dir: std::path::absolute(dir)?,
        },
        None => Binaries::build(Profile::Dev, None)?,
    };
    let faulty = match &options.failpoints {
        Some(file) => std::path::absolute(file)?,
        None => binaries.with_failpoints()?,
    };
    // the places in which the commands run ask for them
    let scene = Scene::with(&binaries, &faulty);

    progress.next("torture");
    let (seed, mut odds) = match options.seed {
        Some(seed) => (seed, Odds::new(seed)),
        None => Odds::of_now(),
    };
    say!("seed {seed}, a build takes {:?}", scene.time);
    let begun = Instant::now();
    let end = begun + Duration::from_secs(options.minutes * 60);
    let mut counts = Counts::default();
    // first each step in turn, for up to half of the time
    let half = begun + (end - begun) / 2;
    let mut kinds = steps::KINDS;
    let first = seed % kinds.len() as u64;
    kinds.rotate_left(first as usize);
    for (at, kind) in kinds.into_iter().enumerate() {
        if !options.wants(Part::Steps) {
            break;
        }
        let pace = steps::Pace {
            first: if at == 0 { options.first } else { 1 },
            stride: 1,
            end: half,
        };
        let whole = steps::all(&scene, kind, pace, &mut counts);
        let how = if whole {
            "every step"
        } else {
            "as far as the time allows"
        };
        say!("{}  {}: {how}; {counts}", clock(begun.elapsed()), kind.0);
    }
    let cuts = options.wants(Part::Power) && need::tools(&["mke2fs", "e2fsck", "xfs_io"], "power cuts");
    while Instant::now() < end {
        round(&scene, options, cuts, &mut odds, &mut counts);
        say!("{}  {counts}", clock(begun.elapsed()));
    }
    say!("survived: {counts}");
    Ok(ExitCode::SUCCESS)
}

/// Something of everything.
fn round(scene: &Scene, options: &Options, cuts: bool, odds: &mut Odds, counts: &mut Counts) {
    for _ in 0..if options.wants(Part::Kills) { 10 } else { 0 } {
        kills::one(scene, odds, counts);
    }
    for trouble in [
        builders::Trouble::None,
        builders::Trouble::Kills,
        builders::Trouble::Eviction,
    ] {
        if !options.wants(Part::Builders) {
            continue;
        }
        let number = 2 + odds.below(options.builders.saturating_sub(1)) as usize;
        builders::together(scene, number, trouble, odds, counts);
    }
    for _ in 0..if cuts { 5 } else { 0 } {
        power::cut(scene, odds, counts);
    }
    if !options.wants(Part::Steps) {
        return;
    }
    // other steps than before where the runs differ, as with several threads
    let pace = steps::Pace {
        first: 1 + odds.below(200),
        stride: 200,
        end: Instant::now() + Duration::from_secs(60),
    };
    let kind = *odds.of(&steps::KINDS);
    steps::all(scene, kind, pace, counts);
}
