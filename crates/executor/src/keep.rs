//! Keeping what a stage has made. Reading its tree is part of the stage's time, and ends when the build does: a stage may
//! leave more than can be read in a day.

use std::cell::Cell;
use std::time::{Duration, Instant};

use store::{NewTree, Object, Store};
use tree::index::Times;

use crate::report::How;
use crate::{Cancel, Error, Result};

/// What keeps the trees of one stage.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    store: &'a Store,
    cancel: &'a Cancel,
    times: Times,
    /// The limit of the stage, and what is left of it.
    limit: Option<Duration>,
    left: Cell<Option<Duration>>,
}

impl<'a> Keeper<'a> {
    /// For a stage of which `limit` is the time; nothing of it is used up yet.
    pub(crate) fn new(store: &'a Store, cancel: &'a Cancel, times: Times, limit: Option<Duration>) -> Self {
        Self {
            store,
            cancel,
            times,
            limit,
            left: Cell::new(limit),
        }
    }

    /// Takes off the stage's time what has passed since then.
    pub(crate) fn spend(&self, since: Instant) {
        let left = self.left.get();
        self.left
            .set(left.map(|left| left.saturating_sub(since.elapsed())));
    }

    /// Keeps a tree; or says how the stage fails with it.
    ///
    /// # Errors
    /// The build was interrupted.
    pub(crate) fn commit(&self, tree: NewTree) -> Result<std::result::Result<Object, How>> {
        let begun = Instant::now();
        // a limit beyond all clocks is none
        let deadline = self.left.get().and_then(|left| begun.checked_add(left));
        let go_on =
            || !self.cancel.is_cancelled() && deadline.is_none_or(|deadline| Instant::now() < deadline);
        let kept = self.store.commit_while(tree, self.times, &go_on);
        self.spend(begun);
        match kept {
            Ok(object) => Ok(Ok(object)),
            Err(store::Error::Tree(tree::Error::Stopped)) if self.cancel.is_cancelled() => {
                Err(Error::Cancelled)
            }
            Err(store::Error::Tree(tree::Error::Stopped)) => {
                Ok(Err(How::TimedOut(self.limit.unwrap_or_default().as_secs())))
            }
            Err(error) => Ok(Err(How::Other(error.to_string()))),
        }
    }
}
