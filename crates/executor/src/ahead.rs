//! The box of a pipeline's next stage, begun while a stage runs: its namespaces and what boxes have in common take as long
//! to make as a small stage takes to run.

use std::sync::{Mutex, PoisonError};

use sandbox::{Nursery, Running};

/// What makes the boxes of a pipeline's stages ahead, once there is one to be like. Of one thread: all die with it.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Option<Nursery>>);

impl Ahead {
    /// Does `start` with the nursery, if there is one.
    pub(crate) fn start<T>(&self, start: impl FnOnce(Option<&mut Nursery>) -> T) -> T {
        start(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut())
    }

    /// Has a box begun like this one. Where none can be made the next stage, which makes its own then, says why.
    pub(crate) fn begin(&self, running: &Running) {
        let _span = trace::span("begin the next box");
        let mut nursery = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let suits = nursery.take().filter(|nursery| nursery.is_like(running));
        *nursery = suits.or_else(|| Nursery::like(running).ok());
        if let Some(failed) = nursery.as_mut().and_then(|nursery| nursery.begin().err()) {
            trace::span("no box").note("why", failed.to_string());
            *nursery = None;
        }
    }
}
