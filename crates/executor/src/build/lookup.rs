//! Whether the store has what a stage would make, or why not.

use std::time::Duration;

use manifest::{Pipeline, Stage};
use serde_json::{Map, Value};
use store::{Object, StageLock};

use super::pipeline::Line;
use crate::devices::sides::Made;
use crate::library::ModuleInfo;
use crate::report::StageReport;
use crate::{Error, Result, inputs, runner, saw};

/// How often a stage that another process builds is asked for. A lock that blocks could not be interrupted.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// What is known of a stage.
pub(super) enum Found<'a> {
    /// The store has its tree.
    Tree(Made, StageReport),
    Runs(Order<'a>),
}

/// A stage that is to run.
pub(super) struct Order<'a> {
    pub(super) stage: &'a Stage,
    pub(super) module: ModuleInfo,
    /// What it sees.
    pub(super) seen: Value,
    pub(super) why: String,
    /// Whether its tree is the pipeline's.
    pub(super) is_last: bool,
    /// Whether a shell is opened before.
    pub(super) breaks: bool,
    /// Keeps others from building it too.
    pub(super) lock: StageLock,
}

impl<'a> Line<'_, 'a> {
    /// Looks for what `stage` makes of the tree `base`.
    pub(super) fn look_up(&self, stage: &'a Stage, base: Option<&Made>) -> Result<Found<'a>> {
        let store = self.of.store;
        let id = stage.id.to_string();
        let module = self.of.library.stage_module(stage)?;
        let seen = saw_of(self.pipeline, stage, &module, base, self.build, self.objects);
        // whoever comes second waits here, and then finds what the first one made
        let lock = self.lock(&id)?;
        let breaks = self
            .of
            .debug_break
            .is_some_and(|at| at == "*" || at == stage.name || at == id);
        let is_last = self.pipeline.id() == Some(&stage.id);
        let known = match store.lookup(&id)? {
            None => None,
            Some((object, record)) => Made::recall(store, object, &record.about)?.map(|made| (made, record)),
        };
        let why = match known {
            _ if breaks => "it was asked to stop here".to_owned(),
            Some((made, record)) if record.saw == seen && is_last && made.is_behind() => {
                "the file systems of its disk are not written yet".to_owned()
            }
            Some((made, mut record)) if record.saw == seen || fault::lifted!("saw") => {
                let object = &made.object;
                if self.of.checkpoints.contains(&id) && !record.pinned {
                    record.pinned = true;
                    store.commit_record(&id, object, &record)?;
                }
                let report = StageReport {
                    metadata: record.metadata,
                    seconds: record.seconds,
                    size: Some(object.size_above(base.map(|base| &base.object))),
                    ..StageReport::cached(stage)
                };
                return Ok(Found::Tree(made, report));
            }
            Some((_, record)) => saw::difference(&record.saw, &seen),
            None => "not in the store".to_owned(),
        };
        Ok(Found::Runs(Order {
            stage,
            module,
            seen,
            why,
            is_last,
            breaks,
            lock,
        }))
    }

    /// The lock of a stage, waited for as long as nobody interrupts.
    fn lock(&self, id: &str) -> Result<StageLock> {
        loop {
            if let Some(lock) = self.of.store.try_lock_stage(id)? {
                return Ok(lock);
            }
            if self.of.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(LOCK_POLL);
        }
    }
}

/// What a stage of `pipeline` sees on the tree `base`.
pub(crate) fn saw_of(
    pipeline: &Pipeline,
    stage: &Stage,
    module: &ModuleInfo,
    base: Option<&Made>,
    build: Option<&Object>,
    objects: &[Option<Object>],
) -> Value {
    let digest = |object: &Object| object.digest().to_string();
    let inputs: Map<String, Value> = stage
        .inputs
        .iter()
        .map(|input| (input.name.clone(), inputs::saw_input(input, objects)))
        .collect();
    // a runner matters to foreign modules alone
    let runner = module.libdir.as_deref().and_then(|libdir| {
        let wanted = pipeline.runner.as_deref().filter(|_| build.is_some());
        runner::seen(libdir, wanted)
    });
    saw::saw(
        stage,
        module,
        base.map(Made::digest),
        build.map(digest),
        &inputs,
        runner,
    )
}
