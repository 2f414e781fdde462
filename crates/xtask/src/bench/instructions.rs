//! What the hot paths execute, counted by valgrind: no noise, and a regression is seen on any machine.
//!
//! Each path runs once and three times in processes of their own; half of the difference is what one run costs, without
//! the start of the program. `instructions.json` beside this file has what was accepted last. Counts depend on the
//! compiler and a little on the processor, so that only more than [`ALLOWED`] counts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use image::qcow2::{self, Compression};
use image::size::Usage;
use image::{SparseFile, ext4};
use serde_json::{Map, Value, json};
use support::repository;
use tree::Tree;
use tree::index::{Index, Times};

use super::convert;
use super::payload::Noise;

/// So much more is a regression.
const ALLOWED: f64 = 1.10;
const COUNTS: &str = "crates/xtask/src/bench/instructions.json";

/// A path: what is made ready, then run as often as is asked.
type Hot = fn(&Path, u32) -> Result<()>;

const HOT: [(&str, Hot); 7] = [
    ("manifest: load and ids of 500 stages", manifest),
    ("index: scan and hash 4 MiB in 200 files", scan),
    ("index: 50 times one changed file over 4,000 entries", merge),
    ("index: digest of 4,000 entries", digest),
    ("ext4: 20 MiB in 1,000 files", ext4_files),
    ("qcow2: 4 MiB to zlib clusters", zlib),
    ("qcow2: 4 MiB to zstd clusters", zstd),
];

/// Runs `NAME TIMES`, or a conversion.
pub(super) fn run_hot(arguments: &[String]) -> Result<()> {
    if let [name, arguments @ ..] = arguments
        && name == convert::HOT
    {
        return convert::run_hot(arguments);
    }
    let [name, times] = arguments else {
        bail!("a name and a number are wanted");
    };
    let (_, hot) = HOT
        .iter()
        .find(|hot| hot.0 == name)
        .context("there is no such path")?;
    let dir = tempfile::tempdir()?;
    hot(dir.path(), times.parse()?)
}

/// Counts all paths; those that got worse make it a failure.
pub(super) fn compare(accept: bool) -> Result<ExitCode> {
    ensure!(
        super::is_there("valgrind"),
        "valgrind is not installed: apt install valgrind"
    );
    let program = build()?;
    let path = repository().join(COUNTS);
    let before: Value = std::fs::read(&path).map_or(Ok(Value::Null), |text| serde_json::from_slice(&text))?;
    let (mut counts, mut worse) = (Map::new(), 0);
    for (name, _) in HOT {
        let more = count(&program, name, 3)?.checked_sub(count(&program, name, 1)?);
        let count = more.with_context(|| format!("{name}: less than what its preparation varies by"))? / 2;
        let verdict = match before[name].as_u64() {
            None => "new".to_owned(),
            Some(before) => {
                let change = count as f64 / before.max(1) as f64;
                let is_worse = change > ALLOWED;
                worse += u32::from(is_worse);
                format!(
                    "{:+.1} %{}",
                    (change - 1.0) * 100.0,
                    if is_worse { "  REGRESSION" } else { "" }
                )
            }
        };
        say!("{name:53} {count:>14}  {verdict}");
        counts.insert(name.to_owned(), json!(count));
    }
    if accept {
        std::fs::write(&path, serde_json::to_string_pretty(&counts)? + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    if worse > 0 {
        complain!(
            "error: {worse} of the hot paths execute over 10 % more than {COUNTS} says; if that is right, --accept"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// This program, as fast as the installed ones are.
pub(super) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--package",
        "xtask",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let output = command
        .current_dir(repository())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "cargo cannot build xtask");
    let text = String::from_utf8(output.stdout)?;
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.filter(|message| message["target"]["name"] == "xtask");
    let program = program
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    program.context("cargo does not say where it put xtask")
}

/// The instructions of a whole run.
fn count(program: &Path, name: &str, times: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["bench", "--hot", name, &times.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} fails under valgrind\n{text}");
    let total = text.lines().find_map(|line| line.split_once("Collected :"));
    let total = total.context("valgrind says no number")?.1;
    Ok(total.trim().parse()?)
}

fn manifest(_: &Path, times: u32) -> Result<()> {
    let stage = |number: u32| json!({"type": "org.osbuild.noop", "options": {"number": number, "text": "x".repeat(100)}});
    let stages: Vec<Value> = (0..500).map(stage).collect();
    let text = json!({"version": "2", "pipelines": [{"name": "tree", "stages": stages}]}).to_string();
    for _ in 0..times {
        let value = manifest::parse(&text).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        manifest::load(&value, None).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    }
    Ok(())
}

/// A tree of `files` files of `size` bytes, in directories of a hundred.
fn small_files(dir: &Path, files: u32, size: usize) -> Result<Tree> {
    let (mut noise, mut bytes) = (Noise::new(3), vec![0; size]);
    for number in 0..files {
        noise.fill(&mut bytes);
        let folder = dir.join(format!("folder-{:03}", number / 100));
        if number % 100 == 0 {
            std::fs::create_dir_all(&folder)?;
        }
        std::fs::write(folder.join(format!("file-{number}")), &bytes)?;
    }
    Ok(Tree::open(dir)?)
}

fn scan(dir: &Path, times: u32) -> Result<()> {
    let tree = small_files(dir, 200, 20 << 10)?;
    for _ in 0..times {
        Index::scan(&tree, Times::Keep)?;
    }
    Ok(())
}

fn merge(dir: &Path, times: u32) -> Result<()> {
    let (below, above) = (dir.join("below"), dir.join("above"));
    let index = Index::scan(&small_files(&below, 4000, 10)?, Times::Keep)?;
    let upper = small_files(&above, 1, 10)?;
    // threads hash what is below, which varies by more than a single one takes
    for _ in 0..50 * times {
        index.merge_layer(&upper, Times::Keep)?;
    }
    Ok(())
}

fn digest(dir: &Path, times: u32) -> Result<()> {
    let index = Index::scan(&small_files(dir, 4000, 10)?, Times::Keep)?;
    for _ in 0..times {
        index.digest();
    }
    Ok(())
}

fn ext4_files(dir: &Path, times: u32) -> Result<()> {
    let tree = small_files(&dir.join("tree"), 1000, 20 << 10)?;
    // told, not counted: valgrind does not know all of the system calls that this takes
    let usage = Usage {
        inodes: 1011,
        bytes: 20 << 20,
    };
    let options = ext4::Options {
        uuid: uuid::Uuid::from_u128(1),
        label: None,
        offset: 0,
        size: 64 << 20,
        epoch: Some(1_700_000_000),
    };
    for time in 0..times {
        // `mke2fs` is a process of its own, and not counted
        let image = File::create_new(dir.join(format!("{time}.ext4")))?;
        ext4::write(&SparseFile::new(image, options.size)?, &tree, &usage, &options)?;
    }
    Ok(())
}

fn zlib(dir: &Path, times: u32) -> Result<()> {
    clusters(dir, times, Compression::Zlib)
}

fn zstd(dir: &Path, times: u32) -> Result<()> {
    clusters(dir, times, Compression::Zstd)
}

fn clusters(dir: &Path, times: u32, compression: Compression) -> Result<()> {
    // words of a vocabulary of noise compress as programs and texts do
    let mut noise = Noise::new(4);
    let mut words = vec![0; 1 << 16];
    noise.fill(&mut words);
    let mut content = Vec::new();
    let mut pick = [0; 8];
    while content.len() < 4 << 20 {
        noise.fill(&mut pick);
        let at = usize::from(u16::from_le_bytes([pick[0], pick[1]])) & 0xfff;
        content.extend_from_slice(&words[at * 8..at * 8 + 4 + usize::from(pick[2] % 32)]);
    }
    let disk = SparseFile::new(File::create_new(dir.join("disk"))?, content.len() as u64)?;
    disk.write(&content, 0)?;
    let options = qcow2::Options {
        compression,
        version_2: false,
        threads: 1,
    };
    for time in 0..times {
        qcow2::write(&disk, &File::create(dir.join(format!("{time}.qcow2")))?, &options)?;
    }
    Ok(())
}
