//! Many builders on one store.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use super::scene::{LIMIT, ran};
use super::{Counts, Odds, Scene};
use crate::{Run, ends_within};

/// What befalls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Some are killed at random moments.
    Kills,
    /// A limit that lets nothing stay that is not in use.
    Eviction,
}

/// Starts so many at once. Each one that is not killed gets the same result; without trouble each stage runs in one of
/// them.
///
/// # Panics
/// It is otherwise, or the store is the worse for it.
pub fn together(scene: &Scene, number: usize, trouble: Trouble, odds: &mut Odds, counts: &mut Counts) {
    scene.fresh();
    let limit: &[&str] = match trouble {
        Trouble::Eviction => &["--cache-max-size", "1"],
        _ => &[],
    };
    let outs: Vec<String> = (0..number).map(|number| format!("outs/{number}")).collect();
    let mut children: Vec<Child> = outs.iter().map(|out| start(scene, out, limit)).collect();
    let killed = match trouble {
        Trouble::Kills => number / 2,
        _ => 0,
    };
    for child in &mut children[..killed] {
        if !ends_within(child, odds.time(scene.time)) {
            counts.kills += 1;
        }
        let _ = child.kill();
    }
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (at, (child, out)) in children.into_iter().zip(&outs).enumerate() {
        let run = end(child, out);
        if at < killed {
            continue;
        }
        assert_eq!(run.code, 0, "{trouble:?}, {number} at once: {run}");
        assert!(scene.has_result(out), "{trouble:?}: another result in {out}");
        for id in ran(&run) {
            *times.entry(id.to_owned()).or_default() += 1;
        }
    }
    if trouble == Trouble::None {
        let more: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
        assert!(
            more.is_empty() && times.len() == scene.missing(),
            "{number} at once: these ran {times:?}"
        );
    }
    let _ = std::fs::remove_dir_all(scene.env.path("outs"));
    if trouble == Trouble::Eviction {
        // so that the next run finds all that it makes
        let _ = std::fs::remove_file(scene.env.store().join("cache.info"));
    }
    scene.holds(
        &format!("error: {number} at once, {trouble:?}"),
        super::Left::Files,
    );
    counts.builders += number;
    counts.at_once = counts.at_once.max(number);
}

fn start(scene: &Scene, out: &str, args: &[&str]) -> Child {
    let mut command: Command = scene.command(&scene.env.binaries().osbuild(), "store", out);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start osbuild: {e}"))
}

fn end(mut child: Child, out: &str) -> Run {
    if !ends_within(&child, LIMIT) {
        let _ = child.kill();
        panic!("the builder of {out} hangs");
    }
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("{out}: {e}"));
    Run {
        command: format!("the builder of {out}"),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        time: std::time::Duration::ZERO,
    }
}
