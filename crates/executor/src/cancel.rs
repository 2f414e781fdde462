//! Stopping a build from a signal handler's thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sandbox::Killer;

/// Says stop, and kills the boxes that run.
#[derive(Debug, Default)]
pub struct Cancel {
    flag: AtomicBool,
    interrupted: AtomicBool,
    shells: AtomicUsize,
    boxes: Mutex<Vec<Killer>>,
}

impl Cancel {
    /// Stops the build, as somebody asked for it: what runs is killed, nothing new is started.
    pub fn cancel(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.give_up();
    }

    /// Stops what else runs, since a part of the build has failed.
    pub(crate) fn give_up(&self) {
        // the flag first: a box that is entered after we have looked sees it
        self.flag.store(true, Ordering::SeqCst);
        for killer in self.boxes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            killer.kill();
        }
    }

    /// Whether the build is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// Whether somebody asked for that.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// The flag, for those who poll it.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Whether a shell has the terminal: what is typed there, Ctrl-C too, is for it alone.
    pub fn is_shell_open(&self) -> bool {
        self.shells.load(Ordering::SeqCst) > 0
    }

    /// Says that a shell has the terminal until the guard is dropped.
    pub(crate) fn open_shell(&self) -> Shell<'_> {
        self.shells.fetch_add(1, Ordering::SeqCst);
        Shell(self)
    }

    /// Registers a box until the guard is dropped.
    pub(crate) fn watch(&self, killer: Killer) -> Watch<'_> {
        self.boxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(killer.clone());
        if self.is_cancelled() {
            killer.kill();
        }
        Watch { cancel: self, killer }
    }
}

pub(crate) struct Shell<'a>(&'a Cancel);

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        self.0.shells.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Watch<'a> {
    cancel: &'a Cancel,
    killer: Killer,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut boxes = self.cancel.boxes.lock().unwrap_or_else(PoisonError::into_inner);
        boxes.retain(|killer| !killer.is(&self.killer));
    }
}
