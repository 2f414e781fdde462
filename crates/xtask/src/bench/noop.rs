//! What is left when the stages do nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use support::Binaries;

use super::builder::{Builder, timed};
use super::series::Series;
use super::table::Row;
use crate::privilege::{as_root, succeed};

/// The measurements of one builder, a figure for each round.
#[derive(Default)]
struct Figures {
    one: Series,
    ten: Series,
    eleven: Series,
    cached: Series,
}

/// A place to build in, for one builder.
struct Bench<'a> {
    builder: &'a Builder,
    dir: PathBuf,
    figures: Figures,
}

/// Measures `rounds` times, after one round that does not count.
pub(super) fn measure(
    binaries: &Binaries,
    peer: Option<&Builder>,
    rounds: u32,
    scratch: &Path,
) -> Result<Vec<Row>> {
    let ours = Builder::ours(binaries);
    let mut benches = Vec::new();
    for (name, builder) in [("ours", Some(&ours)), ("peer", peer)] {
        if let Some(builder) = builder {
            benches.push(Bench::new(builder, scratch.join(name))?);
        }
    }
    let (mut machine, mut module) = (Series::default(), Series::default());
    let arguments = scratch.join("arguments.json");
    std::fs::write(&arguments, json!({"tree": scratch, "options": {}}).to_string())?;
    for round in 0..=rounds {
        let counts = round > 0;
        let figures = [
            (&mut machine, timed(&mut Command::new("true"))?),
            (&mut module, by_hand(binaries, &arguments)?),
        ];
        if counts {
            figures.into_iter().for_each(|(series, time)| series.push(time));
        }
        for bench in &mut benches {
            bench.round(counts)?;
        }
        say!("round {round} of {rounds}");
    }
    let mut benches = benches.into_iter();
    let ours = benches.next().context("there is always one builder")?;
    let mut rows = vec![
        Row::new("machine: start of `true`", machine),
        Row::new("a module by hand, no-op", module),
    ];
    rows.extend(ours.figures.rows());
    if let Some(theirs) = benches.next() {
        let theirs = theirs.figures.rows();
        for (row, theirs) in rows[2..].iter_mut().zip(theirs) {
            row.theirs = Some(theirs.ours);
        }
    }
    Ok(rows)
}

impl Figures {
    fn rows(self) -> [Row; 4] {
        let stage = self.eleven.more_than(&self.one, 10.0);
        [
            Row::new("one more stage (11 stages less 1, by 10)", stage),
            Row::new("pipeline of 1 no-op stage, fresh store", self.one),
            Row::new("pipeline of 10 no-op stages, fresh store", self.ten),
            Row::new("pipeline of 10 no-op stages, cached", self.cached),
        ]
    }
}

impl<'a> Bench<'a> {
    fn new(builder: &'a Builder, dir: PathBuf) -> Result<Self> {
        std::fs::create_dir(&dir)?;
        for stages in [1, 10, 11] {
            std::fs::write(dir.join(format!("{stages}.json")), manifest(stages))?;
        }
        let bench = Self {
            builder,
            dir,
            figures: Figures::default(),
        };
        bench.build(10, "kept", true)?;
        Ok(bench)
    }

    fn round(&mut self, counts: bool) -> Result<()> {
        let [one, ten, eleven] = [1, 10, 11].map(|stages| self.build(stages, "fresh", false));
        let times = [one?, ten?, eleven?, self.build(10, "kept", true)?];
        let figures = &mut self.figures;
        let series = [
            &mut figures.one,
            &mut figures.ten,
            &mut figures.eleven,
            &mut figures.cached,
        ];
        if counts {
            series
                .into_iter()
                .zip(times)
                .for_each(|(series, time)| series.push(time));
        }
        Ok(())
    }

    fn build(&self, stages: usize, store: &str, keep: bool) -> Result<Duration> {
        let (manifest, out) = (self.dir.join(format!("{stages}.json")), self.dir.join("out"));
        let store = self.dir.join(store);
        let time = self.builder.build(&manifest, &store, &out, keep)?;
        // by the one who made them, and not on the clock
        let mut remove = as_root("rm");
        remove.arg("-rf").arg("--").arg(&out);
        if !keep {
            remove.arg(&store);
        }
        succeed(&mut remove)?;
        Ok(time)
    }
}

fn manifest(stages: usize) -> String {
    let stage = |number| json!({"type": "org.osbuild.noop", "options": {"number": number}});
    let stages: Vec<_> = (0..stages).map(stage).collect();
    json!({"version": "2", "pipelines": [{"name": "tree", "stages": stages}]}).to_string()
}

fn by_hand(binaries: &Binaries, arguments: &Path) -> Result<Duration> {
    let stdin = File::open(arguments)?;
    let start = Instant::now();
    let output = Command::new(binaries.modules())
        .arg("org.osbuild.noop")
        .stdin(stdin)
        .output()
        .context("cannot run the modules")?;
    ensure!(output.status.success(), "the no-op stage fails by hand");
    Ok(start.elapsed())
}
