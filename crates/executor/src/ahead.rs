//! The box of a pipeline's next stage, begun while a stage runs: its namespaces and what boxes have in common take as long
//! to make as a small stage takes to run.

use std::sync::{Mutex, PoisonError};

use sandbox::Nursery;

/// What makes the boxes of a pipeline's stages ahead. Of one thread: all die with it.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Nursery>);

impl Ahead {
    /// Does `start` with the nursery: only where another stage follows it pays to make one.
    pub(crate) fn start<T>(&self, is_followed: bool, start: impl FnOnce(Option<&mut Nursery>) -> T) -> T {
        let mut nursery = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        start(Some(&mut *nursery).filter(|nursery| is_followed || nursery.is_used()))
    }

    /// Has a box begun like the last one, for a stage that may make `sockets` or for one that may not. Where none can be made
    /// the next stage, which makes its own then, says why.
    pub(crate) fn begin(&self, sockets: bool) {
        let _span = trace::span("begin the next box");
        let mut nursery = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(failed) = nursery.begin(sockets) {
            trace::span("no box").note("why", failed.to_string());
            *nursery = Nursery::default();
        }
    }
}
