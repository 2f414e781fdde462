//! One run: sources, then pipelines, each stage from the store or in a box.
//!
//! ```text
//! fetch      the sources, side by side
//! graph      which pipelines, and which waits for which
//! schedule   those that do not wait run side by side
//! turns      and are told of one after the other
//! pipeline   its stages, one on the other
//! lookup     a stage: whether the store has what it would make
//! run        if not: its box, its tree, its record; `disks` for those beside it
//! ```

mod disks;
mod fetch;
mod graph;
mod lookup;
mod pipeline;
mod run;
mod schedule;
mod turns;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use manifest::{Manifest, Pipeline, Stage};
use store::{Object, Store};

use crate::bounds::{Boundary, Bounds};
use crate::library::Library;
use crate::report::{BoundaryReport, Failure, PipelineReport, Report, StageReport};
use crate::{Cancel, Error, Fetch, Monitor, Result};

pub(crate) use graph::needed;
pub(crate) use lookup::saw_of;
pub(crate) use run::needs_host;

use pipeline::End;
use turns::Turns;

/// One run of a manifest.
pub struct Build<'a> {
    pub manifest: &'a Manifest,
    pub library: &'a Library,
    pub store: &'a Store,
    pub fetch: &'a dyn Fetch,
    pub monitor: &'a dyn Monitor,
    pub cancel: &'a Cancel,
    /// How many pipelines may run at a time. With one, sources come one after the other too.
    pub jobs: NonZeroUsize,
    /// A limit for each stage, in real time.
    pub stage_timeout: Option<Duration>,
    /// Limits for all boxes, and which parts of their boundary may be missing.
    pub boundary: &'a Boundary,
    /// The ids of stages whose trees are kept whatever the store's limit.
    pub checkpoints: &'a BTreeSet<String>,
    /// The names of pipelines whose stages run in a virtual machine.
    pub in_vm: &'a BTreeSet<String>,
    /// The stage, by name or id, before which a shell is opened in its box; `*`: before each one. There is one terminal:
    /// pipelines then run one after the other.
    pub debug_break: Option<&'a str>,
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build")
            .field("jobs", &self.jobs)
            .field("stage_timeout", &self.stage_timeout)
            .finish_non_exhaustive()
    }
}

/// What came of a pipeline: its stages as far as it came, and why it failed.
struct Outcome {
    stages: Vec<StageReport>,
    failure: Option<Failure>,
}

/// What came of those that are done, by their indices in the manifest and their places in the order.
struct Built {
    objects: Vec<Option<Object>>,
    outcomes: Vec<Option<Outcome>>,
}

impl<'a> Build<'a> {
    /// Fetches all sources, then builds the pipelines `wanted` (indices) and what they need.
    ///
    /// Pipelines that need nothing of each other run side by side. When one fails the others are stopped. The report is
    /// that of pipelines built one after the other, up to the first one that failed; but one before that may have been
    /// stopped.
    ///
    /// # Errors
    /// What is neither a source's nor a stage's failure: those are in the report.
    pub fn run(&self, wanted: &[usize]) -> Result<Report> {
        let order = needed(self.manifest, wanted);
        let pipelines: Vec<&Pipeline> = order
            .iter()
            .filter(|index| !graph::is_twin(self.manifest, &order, **index))
            .map(|index| &self.manifest.pipelines[*index])
            .collect();
        self.monitor.begin(self.manifest.sources.len(), &pipelines);
        let mut report = Report {
            pipelines: self.manifest.pipelines.iter().map(PipelineReport::of).collect(),
            ..Report::default()
        };
        let sources = self.manifest.sources.len();
        let turns = Turns::new(self.monitor, self.cancel, sources + order.len());
        let result = self
            .fetch_all(&turns, &mut report)
            .and_then(|()| self.build_all(&order, &turns, &mut report));
        self.monitor.finish(result.is_ok() && report.success());
        result.map(|()| report)
    }

    fn build_all(&self, order: &[usize], turns: &Turns<'a>, report: &mut Report) -> Result<()> {
        if !report.success() || order.is_empty() {
            return Ok(());
        }
        let bounds = Bounds::new(self.boundary);
        let result = self.build_in(&bounds, order, turns, report);
        report.boundary = BoundaryReport {
            limits: bounds.report(),
            root: bounds.root(),
            missing: bounds.missing(),
        };
        result
    }

    fn build_in(
        &self,
        bounds: &Bounds<'_>,
        order: &[usize],
        turns: &Turns<'a>,
        report: &mut Report,
    ) -> Result<()> {
        let jobs = match self.debug_break {
            Some(_) => 1,
            None => self.jobs.get(),
        };
        let built = Mutex::new(Built {
            objects: vec![None; self.manifest.pipelines.len()],
            outcomes: order.iter().map(|_| None).collect(),
        });
        let trouble = Trouble::default();
        schedule::run(jobs, &graph::waits(self.manifest, order), &|place| {
            let seen = lock(&built).objects.clone();
            let mut stages = Vec::new();
            let end = self.build_told(order, place, (&seen, bounds), turns, &mut stages);
            let (tree, failure) = match trouble.unless(end, self.cancel) {
                Some(End::Whole(tree)) => (tree, None),
                Some(End::Failed(failure)) => (None, Some(failure)),
                None => (None, None),
            };
            if failure.is_some() {
                self.cancel.give_up();
            }
            let goes_on = !self.cancel.is_cancelled();
            let mut built = lock(&built);
            built.objects[order[place]] = tree;
            built.outcomes[place] = Some(Outcome { stages, failure });
            goes_on
        });
        trace::track("osbuild");
        let built = built.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes = built.outcomes.iter();
        let failed =
            outcomes.position(|outcome| outcome.as_ref().is_some_and(|outcome| outcome.failure.is_some()));
        // what comes after it would not have been begun
        let last = failed.map_or(order.len(), |place| place + 1);
        turns.flush();
        trouble.end(failed.is_some(), self.cancel)?;
        for (index, outcome) in order.iter().zip(built.outcomes).take(last) {
            if let Some(outcome) = outcome {
                report.pipelines[*index].stages = outcome.stages;
                report.failure = report.failure.take().or(outcome.failure);
            }
        }
        for (report, object) in report.pipelines.iter_mut().zip(built.objects) {
            report.object = object;
        }
        Ok(())
    }

    /// Builds the pipeline at a place of `order`, in its lane.
    fn build_told(
        &self,
        order: &[usize],
        place: usize,
        (objects, bounds): (&[Option<Object>], &Bounds<'_>),
        turns: &Turns<'a>,
        stages: &mut Vec<StageReport>,
    ) -> Result<End> {
        let pipeline = &self.manifest.pipelines[order[place]];
        trace::track(&format!("pipeline {}", pipeline.name));
        let _span = trace::span("pipeline");
        let lane = turns.lane(self.manifest.sources.len() + place);
        let is_twin = graph::is_twin(self.manifest, order, order[place]);
        if !is_twin {
            lane.tell(move |monitor| monitor.pipeline_begin(pipeline));
        }
        let end = self.line(pipeline, &lane, objects, bounds).build(stages);
        if !matches!(end, Ok(End::Whole(_))) && !self.is_stopped(&end) {
            lane.close();
        }
        let end = end?;
        if !is_twin {
            lane.tell(move |monitor| monitor.pipeline_finish(pipeline));
        }
        Ok(end)
    }

    /// Whether this is the end of something that was stopped since something else has failed.
    fn is_stopped<T>(&self, end: &Result<T>) -> bool {
        matches!(end, Err(Error::Cancelled)) && !self.cancel.is_interrupted()
    }
}

/// What ends a run beside the failures of sources and stages: the first of all threads' errors. What comes after it comes of
/// being stopped.
#[derive(Default)]
struct Trouble(Mutex<Option<Error>>);

impl Trouble {
    /// The value, unless it is an error: then everybody else is stopped.
    fn unless<T>(&self, result: Result<T>, cancel: &Cancel) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if !cancel.is_cancelled() {
            lock(&self.0).get_or_insert(error);
        }
        cancel.give_up();
        None
    }

    /// The error of the whole, which a failure explains better.
    fn end(self, failed: bool, cancel: &Cancel) -> Result<()> {
        let error = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        match error {
            _ if cancel.is_interrupted() => Err(Error::Cancelled),
            Some(error) if !failed => Err(error),
            _ => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PipelineReport {
    fn of(pipeline: &Pipeline) -> Self {
        Self {
            name: pipeline.name.clone(),
            id: pipeline.id().map(ToString::to_string),
            ..Self::default()
        }
    }
}

impl StageReport {
    pub(crate) fn cached(stage: &Stage) -> Self {
        Self {
            name: stage.name.clone(),
            id: stage.id.to_string(),
            assembler: stage.kind == manifest::ModuleKind::Assembler,
            ran: false,
            success: true,
            output: String::new(),
            error: None,
            metadata: None,
            seconds: 0.0,
            size: None,
        }
    }
}
