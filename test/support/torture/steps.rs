//! The n-th step fails, for n = 1, 2, 3 … until a run ends untouched.

use std::time::Instant;

use super::{Counts, Left, Scene};

/// How a step can fail, and what a run that fails so may leave.
pub const KINDS: [(&str, Left); 5] = [
    ("error", Left::Nothing),
    ("full", Left::Nothing),
    ("interrupted", Left::Nothing),
    ("short", Left::Nothing),
    ("kill", Left::Files),
];

/// Every how many steps one fails, from which one on, and when to stop whatever comes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub first: u64,
    pub stride: u64,
    pub end: Instant,
}

/// Has each step fail in this way; false: the time was up before the last one.
///
/// # Panics
/// The store, or anything else, is the worse for it.
pub fn all(scene: &Scene, (kind, left): (&'static str, Left), pace: Pace, counts: &mut Counts) -> bool {
    let mut n = pace.first;
    while Instant::now() < pace.end {
        scene.fresh();
        // a limit that lets everything go has the eviction at work as well
        let limited = n.is_multiple_of(2);
        let args: &[&str] = if limited { &["--cache-max-size", "1"] } else { &[] };
        let (run, place) = scene.fails_at(kind, n, args);
        let Some(place) = place else {
            assert_eq!(run.code, 0, "untouched, and yet {run}");
            return true;
        };
        let what = format!("{kind} at step {n}, {place}");
        match kind {
            "kill" => assert_eq!(run.code, 137, "{what}: {run}"),
            "short" => assert_eq!(run.code, 0, "{what}: {run}"),
            // it goes on without, or says what it could not do
            _ => assert!(matches!(run.code, 0 | 1), "{what}: {run}"),
        }
        assert!(
            run.code != 0 || scene.has_result("out"),
            "{what}: it says that all went well"
        );
        // what cannot be removed stays for the next run
        let left = if place.contains("tree/src/remove.rs") {
            Left::Files
        } else {
            left
        };
        match limited {
            true => scene.holds_what_it_has(&what, left),
            false => scene.holds(&what, left),
        }
        *counts.steps.entry(kind).or_default() += 1;
        n += pace.stride;
    }
    false
}
