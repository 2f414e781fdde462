//! The run of a stage: what it needs, its box, its tree and record in the store.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use manifest::Stage;
use sandbox::UserNamespace;
use store::{Object, Record};
use tree::index::Times;

use super::disks::DiskRun;
use super::lookup::Order;
use super::pipeline::{Had, Line};
use crate::devices::graft::{self, Grafting};
use crate::devices::setup::Setup;
use crate::devices::sides::{Made, Side};
use crate::keep::Keeper;
use crate::library::ModuleInfo;
use crate::report::{Failure, How, StageReport};
use crate::stage::{Done, Job, renew};
use crate::{Error, Result, deeds, driver, plan, services};

/// How many of a failed stage's last lines its failure carries.
const TAIL: usize = 20;

/// A stage that has run: what it did, and its tree or how it failed.
struct Ran {
    report: StageReport,
    made: std::result::Result<Made, How>,
    log: PathBuf,
}

impl<'a> Line<'_, 'a> {
    /// Runs a stage on the tree `base`.
    pub(super) fn run(&self, order: Order<'a>, base: Option<&Made>) -> Result<(StageReport, Had)> {
        let (pipeline, stage, store) = (self.pipeline, order.stage, self.of.store);
        let modules = services::Modules::find(self.of.library, stage)?;
        let users = self.bounds.users()?;
        driver::settle(store, users)?;
        let setup = Setup::of(stage, &order.module, &modules, base, store)?;
        let why = order.why.clone();
        self.lane
            .tell(move |monitor| monitor.stage_begin(pipeline, stage, &why));
        let host = UserNamespace::of_host();
        let job = Job {
            stage,
            module: &order.module,
            runner: pipeline.runner.as_deref(),
            build: self.build,
            objects: self.objects,
            store,
            // in a machine root is the machine's
            users: match self.machine.is_some() || needs_host(stage, &order.module) {
                true => &host,
                false => users,
            },
            machine: self.machine.as_ref(),
            cancel: self.of.cancel,
            timeout: self.of.stage_timeout,
            bounds: self.bounds,
            ahead: &self.ahead,
            next_makes_sockets: self.next_makes_sockets(stage),
            services: &modules,
            setup: &Setup::default(),
            fill: None,
            tell_service: &|text| self.lane.service(text),
        };
        let ran = self.run_job(job, setup, &order, base);
        if self.of.is_stopped(&ran) {
            self.lane
                .output(stage, "stopped, since another pipeline failed\n");
        }
        let ran = ran?;
        drop(order.lock);
        let (report, told) = (ran.report.clone(), ran.report);
        self.lane
            .tell(move |monitor| monitor.stage_finish(pipeline, stage, &told));
        let had = match ran.made {
            Ok(made) => Had::Tree(made),
            Err(how) => Had::Failed(failure(stage, how, &report, ran.log)),
        };
        Ok((report, had))
    }

    /// Runs a stage, after a shell where it `breaks`, and keeps what it made.
    fn run_job(&self, job: Job<'_>, mut setup: Setup, order: &Order<'a>, base: Option<&Made>) -> Result<Ran> {
        let (stage, store) = (order.stage, self.of.store);
        let tell = |text: &str| self.lane.output(stage, text);
        let log = store.logs().join(format!("{}.log", stage.id));
        let log_file = fault::step!(File::create(&log)).map_err(|e| Error::io("write", &log, e))?;
        let begun = Instant::now();
        let times = times_of(stage);
        let new = store.new_tree(base.map(|base| &base.object))?;
        let keeper = Keeper::new(store, self.of.cancel, times, job.timeout);
        let mut disks = DiskRun {
            library: self.of.library,
            pipeline: self.pipeline,
            job,
            users: self.bounds.users()?,
            tree: &new,
            base: base.map(|base| &base.object),
            log: &log_file,
            tell: &tell,
            sides: base.map(|base| base.sides.clone()).unwrap_or_default(),
            output: String::new(),
        };
        if order.breaks || job.machine.is_some() {
            // who looks around may leave something
            setup.grafting = Grafting::default();
        }
        let run = |setup: &Setup, breaks: bool| -> Result<Done> {
            let job = Job { setup, ..job };
            if breaks {
                job.shell(&new)?;
            }
            let log = log_file.try_clone().map_err(|e| Error::io("write", &log, e))?;
            let done = job.run(&new, log, &tell)?;
            keeper.spend(done.since);
            Ok(done)
        };
        let mut done = match disks.begin(&setup)? {
            Some(how) => Done::failed(how),
            None => run(&setup, order.breaks)?,
        };
        if let (None, Some(asked)) = (&done.failure, done.graft.take()) {
            let from = graft::From {
                stage,
                modules: job.services,
                objects: job.objects,
                sides: &disks.sides,
            };
            graft::carry_out(asked, &from, &mut setup, store)?;
            renew(&new)?;
            setup.renew()?;
            done = run(&setup, false)?;
        }
        disks.output.push_str(&done.output);
        if done.failure.is_none() {
            let wrong = deeds::carry_out(&done.deeds, stage, &new, &setup, store)?;
            done.failure = wrong.map(How::Other);
        }
        if done.failure.is_none() {
            done.failure = disks.keep(setup, &done.file_systems, &keeper)?;
        }
        if done.failure.is_none() && order.is_last && disks.sides.iter().any(Side::is_behind) {
            renew(&new)?;
            done.failure = disks.settle_all()?;
        }
        let (sides, output) = (disks.sides, disks.output);
        let mut report = StageReport {
            ran: true,
            success: done.failure.is_none(),
            output,
            metadata: done.metadata,
            error: done.error,
            ..StageReport::cached(stage)
        };
        let kept = match done.failure {
            Some(how) => Err(how),
            None => {
                let _span = trace::span("commit");
                keeper.commit(new)?
            }
        };
        report.seconds = begun.elapsed().as_secs_f64();
        report.success = kept.is_ok();
        let made = match kept {
            Ok(object) => {
                report.size = Some(object.size_above(base.map(|base| &base.object)));
                self.remember(order, &object, &sides, &report)?;
                Ok(Made { object, sides })
            }
            Err(how) => Err(how),
        };
        Ok(Ran { report, made, log })
    }

    /// Whether the next stage may make sockets, where it runs in a box without services, which may be begun before that
    /// stage.
    fn next_makes_sockets(&self, stage: &Stage) -> Option<bool> {
        let mut rest = self.pipeline.stages.iter().skip_while(|one| one.id != stage.id);
        let next = rest.nth(1)?;
        let is_alone = next.devices.is_empty() && next.mounts.is_empty();
        let module = self.of.library.find(next.kind, &next.name).filter(|_| is_alone)?;
        Some(module.profile().sockets())
    }

    /// Has the store know the tree as that of the stage.
    fn remember(
        &self,
        order: &Order<'_>,
        object: &Object,
        sides: &[Side],
        report: &StageReport,
    ) -> Result<()> {
        // what was done in a shell is in the tree, and nobody knows what
        if order.breaks {
            return Ok(());
        }
        let mut record = Record::new(
            order.seen.clone(),
            report.metadata.clone(),
            report.output.clone(),
            report.seconds,
        );
        let id = order.stage.id.to_string();
        record.about = plan::about(order.stage, sides);
        record.pinned = self.of.checkpoints.contains(&id);
        Ok(self.of.store.commit_record(&id, object, &record)?)
    }
}

/// Which times count in the tree of a stage that begins now.
fn times_of(stage: &Stage) -> Times {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() as i64);
    match stage.source_epoch {
        Some(epoch) => Times::Clamp { since, epoch },
        None => Times::Zero { since },
    }
}

fn failure(stage: &Stage, how: How, report: &StageReport, log: PathBuf) -> Failure {
    let lines: Vec<&str> = report.output.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    Failure::Stage {
        name: stage.name.clone(),
        id: stage.id.to_string(),
        path: stage.path.clone(),
        how,
        seconds: report.seconds,
        tail: tail.iter().map(|line| (*line).to_owned()).collect(),
        log,
    }
}

/// Whether a module needs the host's root: to mount a device that it asks for, or, a foreign one, for what file system
/// makers ask of the kernel on a bare device. As the Python osbuild has it for all; here for no more than these.
pub(crate) fn needs_host(stage: &Stage, module: &ModuleInfo) -> bool {
    let is_bare = !stage.devices.is_empty() && stage.mounts.is_empty();
    module.takes_devices
        || module.profile().loop_devices(&stage.options)
        || (module.libdir.is_some() && is_bare)
}
