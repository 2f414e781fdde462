//! Raw disks to compressed qcow2, beside `qemu-img`. Ours is the library, in a process of this program that is built as the
//! installed ones are.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use image::SparseFile;
use image::qcow2::{self, Compression};

use super::builder::{remove, timed};
use super::disk::ARCHIVE;
use super::outcome::{Outcome, Unit};
use super::payload;
use super::series::Series;
use super::spent::{Spent, spend};
use super::{Bench, instructions};
use crate::privilege::as_root;

/// A way to compress, and the modes of `qemu-img` it is held against: the fastest of them counts.
struct Way {
    name: &'static str,
    compression: Compression,
    modes: &'static [&'static [&'static str]],
    target: f64,
}

const ZSTD: &str = "compression_type=zstd";
const WAYS: [Way; 2] = [
    Way {
        name: "zlib",
        compression: Compression::Zlib,
        modes: &[&["-c"]],
        target: 5.0,
    },
    Way {
        name: "zstd",
        compression: Compression::Zstd,
        // all of them write in order: what -W writes differs from run to run
        modes: &[
            &["-c", "-o", ZSTD],
            &["-c", "-m", "4", "-o", ZSTD],
            &["-c", "-m", "16", "-o", ZSTD],
        ],
        target: 1.5,
    },
];

/// Times, sizes, and whether one thread writes the same bytes as all.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    if !super::is_there("qemu-img") || !super::is_there("mke2fs") {
        say!("skipped: convert: qemu-img and mke2fs are needed to compare with");
        return Ok(Vec::new());
    }
    let dir = bench.dir("convert")?;
    let raw = dir.join("disk.raw");
    write_disk(&dir, &raw)?;
    let program = instructions::build()?;
    let mut outcomes = Vec::new();
    for way in &WAYS {
        outcomes.extend(way.measure(bench, &dir, &program, &raw)?);
    }
    remove(&[&dir])?;
    Ok(outcomes)
}

/// A file system of 2 GiB with a real tree in it.
fn write_disk(dir: &Path, raw: &Path) -> Result<()> {
    let (archive, tree) = (dir.join("tree.tar"), dir.join("tree"));
    payload::tree_archive(&archive, ARCHIVE)?;
    std::fs::create_dir(&tree)?;
    timed(as_root("tar").arg("-xf").arg(&archive).arg("-C").arg(&tree))?;
    timed(
        as_root("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(raw)
            .arg("2G"),
    )?;
    remove(&[&tree, &archive])
}

impl Way {
    fn measure(&self, bench: &Bench<'_>, dir: &Path, program: &Path, raw: &Path) -> Result<Vec<Outcome>> {
        let (mine, theirs) = (dir.join("ours.qcow2"), dir.join("theirs.qcow2"));
        let mut ours = Series::default();
        let mut modes = vec![Series::default(); self.modes.len()];
        for round in 0..=bench.runs {
            let spent = self.write(program, raw, &mine, 0)?;
            if round > 0 {
                ours.push(spent.wall);
            }
            for (mode, series) in self.modes.iter().zip(&mut modes) {
                let mut command = Command::new("qemu-img");
                command
                    .args(["convert", "-O", "qcow2"])
                    .args(*mode)
                    .arg(raw)
                    .arg(&theirs);
                let time = timed(&mut command)?;
                if round > 0 {
                    series.push(time);
                }
            }
            say!("convert: {}: round {round} of {}", self.name, bench.runs);
        }
        let compare = ["compare", "-f", "raw", "-F", "qcow2"];
        timed(Command::new("qemu-img").args(compare).arg(raw).arg(&mine))?;
        let size = |path: &Path| std::fs::metadata(path).map(|stat| stat.len() as f64);
        let part = size(&mine)? / size(&theirs)?;
        let all = payload::sha256(&mine)?;
        self.write(program, raw, &mine, 1)?;
        ensure!(
            all == payload::sha256(&mine)?,
            "{} depends on the number of threads",
            self.name
        );
        let best = (0..modes.len()).min_by(|a, b| modes[*a].median().total_cmp(&modes[*b].median()));
        let best = best.context("there is a mode of qemu-img")?;
        let peer = format!("qemu-img {}", self.modes[best].join(" "));
        let what = format!("raw → qcow2, {}", self.name);
        Ok(vec![
            Outcome::faster(
                "convert",
                &what,
                (ours, &peer, modes.swap_remove(best)),
                self.target,
            ),
            Outcome::at_most(
                "convert",
                format!("{what}: size of the file"),
                Series::of(part),
                Unit::Part,
                1.05,
            ),
        ])
    }

    /// Has the library write it, on so many threads.
    fn write(&self, program: &Path, raw: &Path, path: &Path, threads: usize) -> Result<Spent> {
        let mut command = Command::new(program);
        command.args(["bench", "--hot", HOT, self.name, &threads.to_string()]);
        spend(command.arg(raw).arg(path))
    }
}

/// What [`run_hot`] is called.
pub(super) const HOT: &str = "qcow2";

/// Runs `METHOD THREADS RAW QCOW2`.
pub(super) fn run_hot(arguments: &[String]) -> Result<()> {
    let [method, threads, raw, path] = arguments else {
        bail!("a method, a number and two files are wanted");
    };
    let way = WAYS.iter().find(|way| way.name == method);
    let options = qcow2::Options {
        compression: way.context("there is no such method")?.compression,
        version_2: false,
        threads: threads.parse()?,
    };
    let disk = SparseFile::open(File::open(raw)?)?;
    Ok(qcow2::write(&disk, &File::create(path)?, &options)?)
}
