//! What happens, told as it happens.

use manifest::{Pipeline, Source, Stage};

use crate::{SourceReport, StageReport};

/// What became of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutcome {
    Cached,
    Ran,
    Failed,
}

/// Somebody who is told. Every call has an empty default, so that a monitor names what it cares for.
#[allow(unused_variables)]
pub trait Monitor: Sync {
    /// Whether sources and pipelines that run at once are to be told of one after the other, each as a whole and in their
    /// order. Else calls of several come mixed, from several threads.
    fn takes_turns(&self) -> bool {
        true
    }
    /// Once, before anything else: how many sources, and which pipelines in which order.
    fn begin(&self, sources: usize, pipelines: &[&Pipeline]) {}
    fn source_begin(&self, source: &Source) {}
    fn source_finish(&self, source: &Source, report: &SourceReport) {}
    /// A line that a host service prints, with its name and end: it belongs to no stage's output.
    fn service_output(&self, text: &str) {}
    fn pipeline_begin(&self, pipeline: &Pipeline) {}
    /// A stage was found in the store.
    fn stage_cached(&self, pipeline: &Pipeline, stage: &Stage) {}
    /// A stage is about to run; `why` says what made it so.
    fn stage_begin(&self, pipeline: &Pipeline, stage: &Stage, why: &str) {}
    /// A piece of what the running stage prints, whole characters.
    fn stage_output(&self, stage: &Stage, text: &str) {}
    fn stage_finish(&self, pipeline: &Pipeline, stage: &Stage, report: &StageReport) {}
    fn pipeline_finish(&self, pipeline: &Pipeline) {}
    /// Once, after everything else.
    fn finish(&self, success: bool) {}
}
