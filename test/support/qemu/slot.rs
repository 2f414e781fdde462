//! How many machines run at a time.
//!
//! An emulated machine keeps processors busy, and the units of the system in it have limits of time: with more machines
//! than processors some of them fail on a computer that does nothing wrong.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Machines at a time: one boots by BIOS while the same image boots by UEFI.
const MACHINES: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run a machine, until this goes.
#[derive(Debug)]
pub(super) struct Slot(());

impl Slot {
    /// Waits until a machine may run.
    pub(super) fn take() -> Self {
        let running = ENDED.wait_while(lock(), |running| *running >= MACHINES);
        *running.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *lock() -= 1;
        ENDED.notify_one();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
