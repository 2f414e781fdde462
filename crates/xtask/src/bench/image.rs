//! The demo's steps, with the smallest image.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use support::qemu::{Boot, Machine};
use support::{Binaries, repository};

use super::Bench;
use super::builder::{remove, timed};
use super::outcome::Outcome;
use crate::demo::{BOOT, find_image};
use crate::privilege::as_root;

const BLUEPRINT: &str = "samples/debian-minimal.toml";

/// Every step once. It aims at nothing: the figures are printed as they come.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let (binaries, scratch) = (bench.binaries, bench.dir("image")?);
    let add = |what: &str, time: Duration| say!("{what}: {:.2} s", time.as_secs_f64());

    let manifest = scratch.join("image.json");
    let (text, time) = resolve(binaries)?;
    std::fs::write(&manifest, text)?;
    add("resolve the packages", time);

    let (store, out) = (scratch.join("store"), scratch.join("image"));
    let osbuild = || {
        let mut command = as_root(binaries.osbuild());
        command.arg(&manifest).arg("--store").arg(&store);
        command
    };
    let time = timed(osbuild().arg("--output-directory").arg(&out))?;
    add("download them", time);

    let start = Instant::now();
    let output = osbuild().arg("--output").arg(&out).output()?;
    let time = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "osbuild failed\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    add("build the image", time);
    for (stage, time) in stages(&text) {
        add(&format!("  {stage}"), time);
    }
    let time = timed(osbuild().arg("--output").arg(&out))?;
    add("build it again, all cached", time);

    let start = Instant::now();
    let mut machine = Machine::start(&Boot::new(find_image(&out)?))?;
    machine.wait_for_login(BOOT)?;
    add("boot it to the login prompt", start.elapsed());
    drop(machine);
    remove(&[&scratch])?;
    Ok(Vec::new())
}

fn resolve(binaries: &Binaries) -> Result<(Vec<u8>, Duration)> {
    let start = Instant::now();
    let output = Command::new(binaries.image_builder())
        .args(["manifest", "--type", "qcow2", "--blueprint"])
        .arg(repository().join(BLUEPRINT))
        .output()
        .context("cannot run image-builder")?;
    ensure!(
        output.status.success(),
        "image-builder failed\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.stdout, start.elapsed()))
}

/// Pipeline, name and time of each stage that ran, from what osbuild prints.
fn stages(text: &str) -> Vec<(String, Duration)> {
    let (mut pipeline, mut stage, mut all) = ("", None, Vec::new());
    for line in text.lines() {
        if let Some((name, _)) = line
            .strip_prefix("Pipeline ")
            .and_then(|rest| rest.split_once(": "))
        {
            pipeline = name;
        } else if let Some(seconds) = line.strip_prefix("⏱  Duration: ") {
            let seconds = seconds.trim_end_matches('s').parse().ok();
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            all.extend(stage.take().zip(time));
        } else if let Some((name, rest)) = line.split_once(": ")
            && rest.split(' ').next().is_some_and(is_id)
        {
            stage = Some(format!("{pipeline}: {name}"));
        }
    }
    all
}

fn is_id(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_found_in_the_output() {
        let id = "0".repeat(64);
        let text = format!(
            "starting x\nPipeline os: {id}\nBuild\n  root: <host>\norg.osbuild.noop: {id} {{\n  \"a\": 1\n}}\n\
             what: it says\n\n⏱  Duration: 1.25s\nPipeline image: {id}\norg.osbuild.raw: {id} {{}}\n\n⏱  Duration: 0.01s\n"
        );
        let found = stages(&text);
        let expected = [("os: org.osbuild.noop", 1250), ("image: org.osbuild.raw", 10)];
        let expected = expected.map(|(name, ms)| (name.to_owned(), Duration::from_millis(ms)));
        assert_eq!(found, expected);
    }
}
