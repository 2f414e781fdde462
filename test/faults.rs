//! A store survives: a fault at any step, builders that are killed, many of them, a power cut. `cargo xtask torture` does the
//! same for as long as it is told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::torture::{Counts, Odds, Scene, builders, kills, power, steps};
use tests::{Binaries, need};

/// Where `cargo xtask test` says that an osbuild with failpoints is.
const VARIABLE: &str = "OSBUILD_TEST_FAILPOINTS";

/// Each of these tests takes about so long at most.
const SHORT: Duration = Duration::from_secs(15);

/// An osbuild for a scene in which no step is made to fail.
fn plain() -> PathBuf {
    Binaries::find().unwrap().osbuild()
}

#[test]
fn a_fault_at_any_step() {
    if !need::root("building") {
        return;
    }
    let Some(faulty) = std::env::var_os(VARIABLE) else {
        eprintln!(
            "skipped, as `cargo xtask test` is what builds an osbuild with failpoints: a fault at any step"
        );
        return;
    };
    let scene = Scene::new(&PathBuf::from(faulty));
    let (seed, mut odds) = Odds::of_now();
    println!("seed {seed}");
    let mut counts = Counts::default();
    let mut left = steps::KINDS.len() as u32;
    let begun = Instant::now();
    for kind in steps::KINDS {
        let share = SHORT.saturating_sub(begun.elapsed()) / left;
        left -= 1;
        // few writes, many other steps: other ones in each run
        let stride = if kind.0 == "short" { 5 } else { 29 };
        let pace = steps::Pace {
            first: 1 + odds.below(stride),
            stride,
            end: Instant::now() + share,
        };
        steps::all(&scene, kind, pace, &mut counts);
    }
    println!("{counts}");
    assert_eq!(counts.steps.len(), steps::KINDS.len(), "{counts}");
}

#[test]
fn builders_that_are_killed() {
    if !need::root("building") {
        return;
    }
    let scene = Scene::new(&plain());
    let (seed, mut odds) = Odds::of_now();
    println!("seed {seed}");
    let mut counts = Counts::default();
    for _ in 0..12 {
        kills::one(&scene, &mut odds, &mut counts);
    }
    println!("{counts}");
}

#[test]
fn builders_at_once() {
    if !need::root("building") {
        return;
    }
    let scene = Scene::new(&plain());
    let (seed, mut odds) = Odds::of_now();
    println!("seed {seed}");
    let mut counts = Counts::default();
    for trouble in [
        builders::Trouble::None,
        builders::Trouble::Kills,
        builders::Trouble::Eviction,
    ] {
        builders::together(&scene, 6, trouble, &mut odds, &mut counts);
    }
    println!("{counts}");
}

#[test]
fn power_cuts() {
    let what = "power cuts";
    if !need::root(what) || !need::tools(&["mke2fs", "e2fsck", "xfs_io"], what) {
        return;
    }
    let scene = Scene::new(&plain());
    let (seed, mut odds) = Odds::of_now();
    println!("seed {seed}");
    let mut counts = Counts::default();
    for _ in 0..4 {
        power::cut(&scene, &mut odds, &mut counts);
    }
    println!("{counts}");
}
