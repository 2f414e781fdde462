//! What this process has made and has to remove: for an end that cannot wait until the values go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static OWN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

pub(crate) fn add(path: &Path) {
    paths().insert(path.to_owned());
}

pub(crate) fn forget(path: &Path) {
    paths().remove(path);
}

/// Removes all that this process has unfinished, in every store: to be called just before it exits.
///
/// Those threads that still work on it will fail. What a process that is killed leaves, the next one that opens the store
/// removes.
pub fn abandon() {
    // kept, so that nobody starts anything new
    let paths = paths();
    for path in paths.iter() {
        // a thread that is still filling it may be a little ahead
        for _ in 0..5 {
            if crate::scratch::remove(path).is_ok() {
                break;
            }
        }
    }
    std::mem::forget(paths);
}

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
