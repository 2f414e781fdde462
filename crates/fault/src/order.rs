//! Which step is to fail, and how: from the environment.
//!
//! ```text
//! OSBUILD_FAULT=KIND:N     the n-th step, from 1, fails so
//! OSBUILD_FAULT_SAID=FILE  it then writes the place in the source here, just before
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

/// How a step can fail: as a broken disk does, a full one (after half of what is written), a call that a signal interrupts, a
/// write of half the bytes (which is none for the other steps: they do not count), a kill of the process (after half of
/// what is written).
pub const KINDS: [&str; 5] = ["error", "full", "interrupted", "short", "kill"];

/// An error type that can be made from the kernel's number.
pub trait Fail {
    fn of(number: i32) -> Self;
}

impl Fail for std::io::Error {
    fn of(number: i32) -> Self {
        Self::from_raw_os_error(number)
    }
}

impl Fail for Errno {
    fn of(number: i32) -> Self {
        Self::from_raw_os_error(number)
    }
}

/// What the environment asks for.
struct Order {
    how: How,
    at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Errno(Errno),
    Short,
    Kill,
}

fn order() -> Option<&'static Order> {
    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    let read = || {
        let text = std::env::var("OSBUILD_FAULT").ok()?;
        let (kind, at) = text.split_once(':')?;
        let how = match kind {
            "error" => How::Errno(Errno::IO),
            "full" => How::Errno(Errno::NOSPC),
            "interrupted" => How::Errno(Errno::INTR),
            "short" => How::Short,
            "kill" => How::Kill,
            _ => return None,
        };
        let at = at.parse().ok()?;
        Some(Order { how, at })
    };
    ORDER.get_or_init(read).as_ref()
}

/// Counts a step: how it is to fail, if it is.
pub(crate) fn count(place: &str, writes: bool) -> Option<How> {
    static STEPS: AtomicU64 = AtomicU64::new(0);
    let order = order()?;
    if order.how == How::Short && !writes {
        return None;
    }
    if STEPS.fetch_add(1, Ordering::SeqCst) + 1 != order.at {
        return None;
    }
    if let Some(file) = std::env::var_os("OSBUILD_FAULT_SAID") {
        let said = std::fs::write(&file, place);
        assert!(said.is_ok(), "a test gives a file that can be written");
    }
    Some(order.how)
}

/// Ends the process as a power cut would: nothing is put in order.
pub(crate) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // the signal takes effect on the way out of the call above
    loop {
        std::thread::park();
    }
}

/// What a step asks: an error is the kernel's number.
///
/// # Errors
/// The step is the one that is to fail.
pub fn reached(place: &str) -> Result<(), i32> {
    match count(place, false) {
        Some(How::Errno(number)) => Err(number.raw_os_error()),
        Some(How::Kill) => die(),
        Some(How::Short) | None => Ok(()),
    }
}
