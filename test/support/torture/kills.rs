//! Builders killed from outside.

use std::process::Stdio;

use super::{Counts, Left, Odds, Scene};
use crate::ends_within;

use super::scene::LIMIT;

/// Starts a build on the store as it is and kills it at some moment.
///
/// # Panics
/// The store, or anything else, is the worse for it.
pub fn one(scene: &Scene, odds: &mut Odds, counts: &mut Counts) {
    scene.fresh();
    let mut command = scene.command(&scene.env.binaries().osbuild(), "store", "out");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start osbuild: {e}"));
    let after = odds.time(scene.time);
    if !ends_within(&child, after) {
        counts.kills += 1;
    }
    let _ = child.kill();
    assert!(ends_within(&child, LIMIT), "a process that was killed stays");
    let _ = child.wait();
    scene.holds(&format!("killed after {after:?}"), Left::Files);
}
