//! One pipeline: its stages, each on the tree of the one before.

use manifest::{Pipeline, Stage};
use store::Object;

use super::Build;
use super::lookup::Found;
use super::turns::Lane;
use crate::ahead::Ahead;
use crate::bounds::Bounds;
use crate::devices::sides::Made;
use crate::machine::Machine;
use crate::report::{Failure, StageReport};
use crate::{Error, Result};

/// A pipeline that is being built, and what its stages run on.
pub(super) struct Line<'l, 'a> {
    pub(super) of: &'l Build<'a>,
    pub(super) pipeline: &'a Pipeline,
    /// Who is told.
    pub(super) lane: &'l Lane<'l, 'a>,
    pub(super) build: Option<&'l Object>,
    /// The trees of the pipelines that are done.
    pub(super) objects: &'l [Option<Object>],
    pub(super) bounds: &'l Bounds<'l>,
    pub(super) machine: Option<Machine<'l>>,
    pub(super) ahead: Ahead,
}

/// How a pipeline ended.
pub(super) enum End {
    /// With its tree, if it has stages.
    Whole(Option<Object>),
    Failed(Failure),
}

/// How a stage was had.
pub(super) enum Had {
    Tree(Made),
    Failed(Failure),
    /// Not at all: the tree below is damaged, and has to be made again first.
    DamagedBase,
}

impl<'a> Build<'a> {
    /// A pipeline about to be built.
    pub(super) fn line<'l>(
        &'l self,
        pipeline: &'a Pipeline,
        lane: &'l Lane<'l, 'a>,
        objects: &'l [Option<Object>],
        bounds: &'l Bounds<'l>,
    ) -> Line<'l, 'a> {
        let build = pipeline.build.and_then(|index| objects.get(index)?.as_ref());
        let machine = || Machine::of(&pipeline.name, build, self.store, self.cancel);
        Line {
            of: self,
            pipeline,
            lane,
            build,
            objects,
            bounds,
            machine: self.in_vm.contains(&pipeline.name).then(machine),
            ahead: Ahead::default(),
        }
    }
}

impl<'a> Line<'_, 'a> {
    /// Builds it. `reports` gets what became of its stages.
    pub(super) fn build(&self, reports: &mut Vec<StageReport>) -> Result<End> {
        let mut tree = self.base()?;
        let (mut ran, mut next) = (false, 0);
        while let Some(stage) = self.pipeline.stages.get(next) {
            if self.of.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let before = reports.len();
            match self.stage(stage, tree.as_ref(), reports)? {
                Had::Tree(made) => {
                    tree = Some(made);
                    next += 1;
                }
                Had::Failed(failure) => return Ok(End::Failed(failure)),
                Had::DamagedBase => {
                    tree = self.base()?;
                    next = 0;
                    reports.retain(|report| report.ran);
                    continue;
                }
            }
            ran |= reports[before..].iter().any(|report| report.ran);
        }
        if ran {
            self.of.store.sync();
        }
        Ok(End::Whole(tree.map(|made| made.object)))
    }

    /// The tree that the oldest format's `base` names.
    fn base(&self) -> Result<Option<Made>> {
        let first = self.pipeline.stages.first();
        let Some((stage, id)) = first.and_then(|stage| Some((stage, stage.base.as_ref()?))) else {
            return Ok(None);
        };
        let store = self.of.store;
        match store.lookup(&id.to_string())? {
            // that format has no disks
            Some((object, _)) => Ok(Some(Made::plain(object))),
            None => Err(Error::Unbuildable {
                stage: stage.name.clone(),
                message: format!("the base {id} is not in the store {}", store.path().display()),
            }),
        }
    }

    /// Takes a stage's tree from the store, or makes it on the tree `base`.
    fn stage(&self, stage: &'a Stage, base: Option<&Made>, reports: &mut Vec<StageReport>) -> Result<Had> {
        self.had(stage, base, reports).map_err(|error| match error {
            // others may have the same name
            Error::Unbuildable { stage: name, message } => Error::Unbuildable {
                stage: name,
                message: format!("{message}\n  at {}, id {:.12}", stage.path, stage.id.to_string()),
            },
            other => other,
        })
    }

    fn had(&self, stage: &'a Stage, base: Option<&Made>, reports: &mut Vec<StageReport>) -> Result<Had> {
        let span = trace::span(&stage.name).with("id", stage.id.to_string());
        let (report, had) = match self.look_up(stage, base)? {
            Found::Tree(made, report) => {
                span.note("cached", true);
                let pipeline = self.pipeline;
                self.lane
                    .tell(move |monitor| monitor.stage_cached(pipeline, stage));
                (report, Had::Tree(made))
            }
            Found::Runs(order) => {
                if let Some(base) = base
                    && !self.of.store.is_usable(&base.object)?
                {
                    return Ok(Had::DamagedBase);
                }
                span.note("why", order.why.as_str());
                self.run(order, base)?
            }
        };
        reports.push(report);
        Ok(had)
    }
}
