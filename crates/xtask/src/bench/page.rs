//! `docs/benchmarks.md`, its chart, and the figures behind both.
//!
//! `docs/benchmarks.json` keeps the rows by their names: a run of some rows replaces these and leaves the others.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::chart;
use super::outcome::{Outcome, Recorded};

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo xtask bench --write`; `cargo xtask bench --help` says how a part of it is measured. What is compared runs by
turns in one run, figures are medians, the smallest and the largest are in brackets. A ratio says how many times faster
ours is.
";

/// Takes the outcomes, of what was built in `dir`, into the pages of `docs`.
pub(super) fn write(docs: &Path, outcomes: &[Outcome], dir: &Path) -> Result<()> {
    let data = docs.join("benchmarks.json");
    let mut rows = read(&data);
    let machine = machine(dir);
    for outcome in outcomes {
        let mut row = outcome.recorded();
        row.0["machine"] = json!(machine);
        rows.retain(|other| other.text("what") != row.text("what"));
        rows.push(row);
    }
    // in the order of the keys, those of one key as they were measured
    let place = |row: &Recorded| super::ROWS.iter().position(|known| known.key == row.text("key"));
    rows.sort_by_key(place);
    let list: Vec<&Value> = rows.iter().map(|row| &row.0).collect();
    let save = |name: &str, text: String| {
        let path = docs.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    save("benchmarks.json", serde_json::to_string_pretty(&list)? + "\n")?;
    save("benchmarks.svg", chart::svg(&rows))?;
    save("benchmarks.md", page(&rows))
}

fn read(path: &Path) -> Vec<Recorded> {
    let text = std::fs::read(path).unwrap_or_default();
    let list: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
    list.into_iter().map(Recorded).collect()
}

fn page(rows: &[Recorded]) -> String {
    let mut text = format!("{INTRODUCTION}\n![How many times faster](benchmarks.svg)\n\n");
    text += "| work | figure | target | met | ours | against | that | runs |\n|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let met = if row.met() { "yes" } else { "**no**" };
        text += &format!(
            "| {} | {} | {} | {met} | {} | {} | {} | {} |\n",
            row.text("what"),
            row.figure(),
            row.aim(),
            row.text("ours"),
            row.text("against"),
            row.text("other"),
            row.number("runs"),
        );
    }
    // each with the parts that were measured there
    let mut machines: Vec<(&Value, Vec<&str>)> = Vec::new();
    for row in rows {
        let (machine, key) = (&row.0["machine"], row.text("key"));
        match machines.iter_mut().find(|(known, _)| *known == machine) {
            Some((_, keys)) if keys.contains(&key) => {}
            Some((_, keys)) => keys.push(key),
            None => machines.push((machine, vec![key])),
        }
    }
    for (machine, keys) in machines {
        text += &format!("\n## Machine of {}\n\n| | |\n|---|---|\n", keys.join(", "));
        for (name, value) in machine.as_object().unwrap_or(&Map::new()) {
            text += &format!("| {name} | {} |\n", value.as_str().unwrap_or_default());
        }
    }
    text
}

/// The file system of a directory; of one on a loop device also that of the file below.
fn file_system(dir: &Path) -> String {
    let output = Command::new("findmnt")
        .args(["--noheadings", "--output", "FSTYPE,SOURCE", "--target"])
        .arg(dir)
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap_or("unknown").to_owned();
    let below = words.next().and_then(|source| {
        let name = source.strip_prefix("/dev/loop")?;
        let file = std::fs::read_to_string(format!("/sys/block/loop{name}/loop/backing_file")).ok()?;
        Some(file_system(Path::new(file.trim())))
    });
    match below {
        Some(below) => format!("{kind}, in a file on {below}"),
        None => kind,
    }
}

/// What the figures depend on.
fn machine(dir: &Path) -> Value {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.map_or_else(String::new, |line| {
            line.trim_matches([' ', '\t', ':', '=', '"']).to_owned()
        })
    };
    let version = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output
            .map(|output| [output.stdout, output.stderr].concat())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("not there").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory: u64 = after(&file("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0);
    json!({
        "system": after(&file("/etc/os-release"), "PRETTY_NAME"),
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "processor": format!("{cores} × {}", after(&file("/proc/cpuinfo"), "model name")),
        "memory": format!("{} MiB", memory / 1024),
        "file system": file_system(dir),
        "qemu-img": version("qemu-img", "--version"),
        "mke2fs": version("mke2fs", "-V"),
        "mmdebstrap": version("mmdebstrap", "--version"),
        "mkosi": version("mkosi", "--version"),
    })
}
