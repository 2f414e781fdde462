//! Directories that are done with are removed while the next stage runs: a disk may be slow to forget.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::scratch::Scratch;
use crate::store::Store;

/// A thread that removes what it is sent, until nobody can send it any more.
#[derive(Debug, Default)]
pub(crate) struct Broom(Mutex<Option<(Sender<Scratch>, JoinHandle<()>)>>);

impl Broom {
    fn sweep(&self, scratch: Scratch) {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (sender, receiver) = channel();
            let work = move || receiver.into_iter().for_each(drop);
            *thread = std::thread::Builder::new()
                .name("broom".into())
                .spawn(work)
                .ok()
                .map(|handle| (sender, handle));
        }
        // what cannot be sent is removed here, since it is dropped
        if let Some((sender, _)) = &*thread {
            let _ = sender.send(scratch);
        }
    }
}

impl Drop for Broom {
    fn drop(&mut self) {
        let thread = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, handle)) = thread.take() {
            drop(sender);
            let _ = handle.join();
        }
    }
}

impl Store {
    /// Removes a directory with next to nothing in it beside the work of others: its space is not missed meanwhile. It is gone
    /// before the store is closed.
    pub(crate) fn sweep(&self, scratch: Scratch) {
        // the steps that a test has fail come one after the other
        if !fault::ON {
            self.broom.sweep(scratch);
        }
    }
}

/// Whether there is nothing in the directory `path`, or no such directory.
pub(crate) fn is_bare(path: &Path) -> bool {
    std::fs::read_dir(path).map_or(true, |mut list| list.next().is_none())
}
