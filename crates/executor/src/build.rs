//! One run: sources, then pipelines, each stage from the store or in a box.

mod disks;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manifest::{Manifest, ModuleKind, Pipeline, Source, Stage};
use sandbox::UserNamespace;
use serde_json::{Map, Value};
use store::{Object, Record, StageLock, Store};
use tree::index::Times;

use crate::bounds::{Boundary, Bounds};
use crate::devices::setup::Setup;
use crate::devices::sides::{Made, Side};
use crate::library::{Library, ModuleInfo};
use crate::machine::Machine;
use crate::report::{BoundaryReport, Failure, How, PipelineReport, Report, SourceReport, StageReport};
use crate::stage::{Done, Job, renew};
use crate::{Cancel, Error, Fetch, Monitor, Result, deeds, inputs, plan, saw, services};

use disks::DiskRun;

/// How many of a failed stage's last lines its failure carries.
const TAIL: usize = 20;

/// How often a stage that another process builds is asked for. A lock that blocks could not be interrupted.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// One run of a manifest.
pub struct Build<'a> {
    pub manifest: &'a Manifest,
    pub library: &'a Library,
    pub store: &'a Store,
    pub fetch: &'a dyn Fetch,
    pub monitor: &'a dyn Monitor,
    pub cancel: &'a Cancel,
    /// A limit for each stage, in real time.
    pub stage_timeout: Option<Duration>,
    /// Limits for all boxes, and which parts of their boundary may be missing.
    pub boundary: &'a Boundary,
    /// The ids of stages whose trees are kept whatever the store's limit.
    pub checkpoints: &'a BTreeSet<String>,
    /// The names of pipelines whose stages run in a virtual machine.
    pub in_vm: &'a BTreeSet<String>,
    /// The stage, by name or id, before which a shell is opened in its box; `*`: before each one.
    pub debug_break: Option<&'a str>,
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build")
            .field("stage_timeout", &self.stage_timeout)
            .finish_non_exhaustive()
    }
}

/// What the stages of a pipeline run on.
struct Ground<'a> {
    build: Option<&'a Object>,
    /// The trees of the pipelines before it.
    objects: &'a [Option<Object>],
    users: &'a UserNamespace,
    bounds: &'a Bounds<'a>,
    machine: Option<Machine<'a>>,
}

/// A stage that is to run, beside its [`Job`].
struct Order<'a> {
    pipeline: &'a Pipeline,
    users: &'a UserNamespace,
    base: Option<&'a Made>,
    setup: Setup,
    /// Whether its tree is the pipeline's.
    is_last: bool,
    seen: Value,
    breaks: bool,
}

/// How a stage was had.
enum Had {
    Tree(Made),
    Failed(Failure),
    /// Not at all: the tree below is damaged, and has to be made again first.
    DamagedBase,
}

impl Build<'_> {
    /// Fetches all sources, then builds the pipelines `wanted` (indices) and what they need.
    ///
    /// # Errors
    /// What is neither a source's nor a stage's failure: those are in the report.
    pub fn run(&self, wanted: &[usize]) -> Result<Report> {
        let needed = needed(self.manifest, wanted);
        let pipelines: Vec<&Pipeline> = needed
            .iter()
            .filter(|index| !self.is_twin(&needed, **index))
            .map(|index| &self.manifest.pipelines[*index])
            .collect();
        self.monitor.begin(self.manifest.sources.len(), &pipelines);
        let mut report = Report {
            pipelines: self.manifest.pipelines.iter().map(PipelineReport::of).collect(),
            ..Report::default()
        };
        let result = self
            .fetch_all(&mut report)
            .and_then(|()| self.build_all(&needed, &mut report));
        self.monitor.finish(result.is_ok() && report.success());
        result.map(|()| report)
    }

    /// Whether one with the same id comes before it: that one is built, this one is then found.
    fn is_twin(&self, needed: &[usize], index: usize) -> bool {
        let id = |index: usize| self.manifest.pipelines[index].id();
        let before = needed.iter().take_while(|other| **other != index);
        id(index).is_some() && before.into_iter().any(|other| id(*other) == id(index))
    }

    fn fetch_all(&self, report: &mut Report) -> Result<()> {
        let cache = self.store.sources();
        for source in &self.manifest.sources {
            self.monitor.source_begin(source);
            let fetched = self.fetch_one(source, &cache)?;
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.monitor.source_finish(source, &fetched);
            report.failure = report.failure.take().or_else(|| source_failure(&fetched));
            report.sources.push(fetched);
        }
        Ok(())
    }

    /// Fetches with the source of a library directory if there is one, else with ours.
    fn fetch_one(&self, source: &Source, cache: &Path) -> Result<SourceReport> {
        match self.library.foreign(ModuleKind::Source, &source.kind) {
            Some(module) => {
                let tell = |text: &str| self.monitor.service_output(text);
                services::source::fetch(&module, source, cache, self.cancel, &tell)
            }
            None => Ok(self.fetch.fetch(source, cache, self.cancel)),
        }
    }

    fn build_all(&self, needed: &[usize], report: &mut Report) -> Result<()> {
        if !report.success() || needed.is_empty() {
            return Ok(());
        }
        carries_layers(self.store)?;
        let bounds = Bounds::new(self.boundary);
        let result = self.build_in(&bounds, needed, report);
        report.boundary = BoundaryReport {
            limits: bounds.report(),
            missing: bounds.missing(),
        };
        result
    }

    fn build_in(&self, bounds: &Bounds<'_>, needed: &[usize], report: &mut Report) -> Result<()> {
        let users = bounds.users()?;
        let mut objects: Vec<Option<Object>> = self.manifest.pipelines.iter().map(|_| None).collect();
        for index in needed {
            let pipeline = &self.manifest.pipelines[*index];
            let twin = self.is_twin(needed, *index);
            if !twin {
                self.monitor.pipeline_begin(pipeline);
            }
            let (tree, failure) = self.build(
                pipeline,
                &objects,
                (&users, bounds),
                &mut report.pipelines[*index].stages,
            )?;
            if !twin {
                self.monitor.pipeline_finish(pipeline);
            }
            if failure.is_some() {
                report.failure = failure;
                break;
            }
            objects[*index] = tree;
        }
        for (report, object) in report.pipelines.iter_mut().zip(objects) {
            report.object = object;
        }
        Ok(())
    }

    /// Builds one pipeline: its finished tree, or why it failed.
    fn build(
        &self,
        pipeline: &Pipeline,
        objects: &[Option<Object>],
        (users, bounds): (&UserNamespace, &Bounds<'_>),
        reports: &mut Vec<StageReport>,
    ) -> Result<(Option<Object>, Option<Failure>)> {
        let build = pipeline.build.and_then(|index| objects.get(index)?.as_ref());
        let ground = Ground {
            build,
            objects,
            users,
            bounds,
            machine: self
                .in_vm
                .contains(&pipeline.name)
                .then(|| Machine::of(&pipeline.name, build, self.store, self.cancel)),
        };
        let mut tree = self.base(pipeline)?;
        let (mut ran, mut next) = (false, 0);
        while let Some(stage) = pipeline.stages.get(next) {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let before = reports.len();
            match self.stage(pipeline, stage, tree.as_ref(), &ground, reports)? {
                Had::Tree(made) => {
                    tree = Some(made);
                    next += 1;
                }
                Had::Failed(failure) => return Ok((None, Some(failure))),
                Had::DamagedBase => {
                    tree = self.base(pipeline)?;
                    next = 0;
                    reports.retain(|report| report.ran);
                    continue;
                }
            }
            ran |= reports[before..].iter().any(|report| report.ran);
        }
        if ran {
            self.store.sync();
        }
        Ok((tree.map(|made| made.object), None))
    }

    /// The tree that the oldest format's `base` names.
    fn base(&self, pipeline: &Pipeline) -> Result<Option<Made>> {
        let Some((stage, id)) = pipeline
            .stages
            .first()
            .and_then(|stage| Some((stage, stage.base.as_ref()?)))
        else {
            return Ok(None);
        };
        match self.store.lookup(&id.to_string())? {
            // that format has no disks
            Some((object, _)) => Ok(Some(Made::plain(object))),
            None => Err(Error::Unbuildable {
                stage: stage.name.clone(),
                message: format!(
                    "the base {id} is not in the store {}",
                    self.store.path().display()
                ),
            }),
        }
    }

    fn stage(
        &self,
        pipeline: &Pipeline,
        stage: &Stage,
        base: Option<&Made>,
        ground: &Ground<'_>,
        reports: &mut Vec<StageReport>,
    ) -> Result<Had> {
        let id = stage.id.to_string();
        let module = self.library.stage_module(stage)?;
        let seen = saw_of(pipeline, stage, &module, base, ground.build, ground.objects);
        // whoever comes second waits here, and then finds what the first one made
        let lock = self.lock(&id)?;
        let breaks = self
            .debug_break
            .is_some_and(|at| at == "*" || at == stage.name || at == id);
        let is_last = pipeline.id() == Some(&stage.id);
        let known = match self.store.lookup(&id)? {
            None => None,
            Some((object, record)) => {
                Made::recall(self.store, object, &record.about)?.map(|made| (made, record))
            }
        };
        let why = match known {
            _ if breaks => "it was asked to stop here".to_owned(),
            Some((made, record)) if record.saw == seen && is_last && made.is_behind() => {
                "the file systems of its disk are not written yet".to_owned()
            }
            Some((made, mut record)) if record.saw == seen => {
                let object = &made.object;
                if self.checkpoints.contains(&id) && !record.pinned {
                    record.pinned = true;
                    self.store.commit_record(&id, object, &record)?;
                }
                self.monitor.stage_cached(pipeline, stage);
                reports.push(StageReport {
                    metadata: record.metadata,
                    seconds: record.seconds,
                    size: Some(object.size_above(base.map(|base| &base.object))),
                    ..StageReport::cached(stage)
                });
                return Ok(Had::Tree(made));
            }
            Some((_, record)) => saw::difference(&record.saw, &seen),
            None => "not in the store".to_owned(),
        };
        if let Some(base) = base
            && !self.store.is_usable(&base.object)?
        {
            return Ok(Had::DamagedBase);
        }
        let modules = services::Modules::find(self.library, stage)?;
        let setup = Setup::of(stage, &module, &modules, base, self.store)?;
        self.monitor.stage_begin(pipeline, stage, &why);
        let host = UserNamespace::of_host();
        let job = Job {
            stage,
            module: &module,
            runner: pipeline.runner.as_deref(),
            build: ground.build,
            objects: ground.objects,
            store: self.store,
            // in a machine root is the machine's
            users: match ground.machine.is_some() || needs_host(stage, &module) {
                true => &host,
                false => ground.users,
            },
            machine: ground.machine.as_ref(),
            cancel: self.cancel,
            timeout: self.stage_timeout,
            bounds: ground.bounds,
            services: &modules,
            setup: &Setup::default(),
            fill: None,
            tell_service: &|text| self.monitor.service_output(text),
        };
        let order = Order {
            pipeline,
            users: ground.users,
            base,
            setup,
            is_last,
            seen,
            breaks,
        };
        let (report, had) = self.run_stage(job, order)?;
        drop(lock);
        self.monitor.stage_finish(pipeline, stage, &report);
        reports.push(report);
        Ok(had)
    }

    /// The lock of a stage, waited for as long as nobody interrupts.
    fn lock(&self, id: &str) -> Result<StageLock> {
        loop {
            if let Some(lock) = self.store.try_lock_stage(id)? {
                return Ok(lock);
            }
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Runs a stage, after a shell where it `breaks`.
    fn run_stage(&self, job: Job<'_>, order: Order<'_>) -> Result<(StageReport, Had)> {
        let Order {
            base,
            setup,
            seen,
            breaks,
            ..
        } = order;
        let stage = job.stage;
        let id = stage.id.to_string();
        let log = self.store.logs().join(format!("{id}.log"));
        let log_file = fault::step!(File::create(&log)).map_err(|e| Error::io("write", &log, e))?;
        let begun = Instant::now();
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() as i64);
        let times = match stage.source_epoch {
            Some(epoch) => Times::Clamp { since, epoch },
            None => Times::Zero { since },
        };
        let new = self.store.new_tree(base.map(|base| &base.object))?;
        let mut disks = DiskRun {
            build: self,
            pipeline: order.pipeline,
            job,
            users: order.users,
            tree: &new,
            log: &log_file,
            times,
            sides: base.map(|base| base.sides.clone()).unwrap_or_default(),
            output: String::new(),
        };
        let mut done = match disks.settle(&setup.settle)? {
            Some(how) => Done::failed(how),
            None => {
                let job = Job { setup: &setup, ..job };
                if breaks {
                    job.shell(&new)?;
                }
                let log = log_file.try_clone().map_err(|e| Error::io("write", &log, e))?;
                job.run(&new, log, &|text| self.monitor.stage_output(stage, text))?
            }
        };
        disks.output.push_str(&done.output);
        if done.failure.is_none() {
            let wrong = deeds::carry_out(&done.deeds, stage, &new, &setup, self.store)?;
            done.failure = wrong.map(How::Other);
        }
        if done.failure.is_none() {
            disks.keep(setup, &done.file_systems)?;
            if order.is_last && disks.sides.iter().any(Side::is_behind) {
                renew(&new)?;
                done.failure = disks.settle_all()?;
            }
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
        let result = match done.failure {
            Some(how) => Err(how),
            None => self
                .store
                .commit(new, times)
                .map_err(|e| How::Other(e.to_string())),
        };
        report.seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(object) => {
                report.size = Some(object.size_above(base.map(|base| &base.object)));
                // what was done in a shell is in the tree, and nobody knows what
                if !breaks {
                    let mut record = Record::new(
                        seen,
                        report.metadata.clone(),
                        report.output.clone(),
                        report.seconds,
                    );
                    record.about = plan::about(stage, &sides);
                    record.pinned = self.checkpoints.contains(&id);
                    self.store.commit_record(&id, &object, &record)?;
                }
                Ok((report, Had::Tree(Made { object, sides })))
            }
            Err(how) => {
                report.success = false;
                let lines: Vec<String> = report.output.lines().map(str::to_owned).collect();
                let failure = Failure::Stage {
                    name: stage.name.clone(),
                    id,
                    path: stage.path.clone(),
                    how,
                    seconds: report.seconds,
                    tail: lines[lines.len().saturating_sub(TAIL)..].to_vec(),
                    log,
                };
                Ok((report, Had::Failed(failure)))
            }
        }
    }
}

/// Whether a foreign module needs the host's root: to mount a device that it asks for, or for what file system makers
/// ask of the kernel on a bare device. As the Python osbuild has it for all; here for no more than these.
pub(crate) fn needs_host(stage: &Stage, module: &ModuleInfo) -> bool {
    module.libdir.is_some()
        && (module.takes_devices || (!stage.devices.is_empty() && stage.mounts.is_empty()))
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
    let runner = module.libdir.as_ref().and(pipeline.runner.clone());
    saw::saw(
        stage,
        module,
        base.map(Made::digest),
        build.map(digest),
        &inputs,
        runner,
    )
}

/// Refuses a store on a file system on which no overlay can be written, before the kernel does so with fewer words.
fn carries_layers(store: &Store) -> Result<()> {
    // the magic numbers of linux/magic.h
    const UNSUITABLE: [(i64, &str); 3] = [(0x794c_7630, "overlayfs"), (0x6969, "NFS"), (0x0102_1997, "9p")];
    let path = store.path();
    let there = rustix::fs::statfs(path).map_err(|e| Error::io("look at", path, e))?;
    match UNSUITABLE.iter().find(|(magic, _)| *magic == there.f_type as i64) {
        Some((_, kind)) => Err(Error::StorePlace {
            path: path.to_owned(),
            kind,
        }),
        None => Ok(()),
    }
}

/// The pipelines to build: those wanted, before each one its build pipeline and those whose trees it reads. As in the
/// Python osbuild, what later stages read is built before what earlier ones do.
pub(crate) fn needed(manifest: &Manifest, wanted: &[usize]) -> Vec<usize> {
    let mut seen = vec![false; manifest.pipelines.len()];
    let mut order = Vec::new();
    // a pipeline comes twice: to look at what it needs, then to take its place behind that
    let mut todo: Vec<(usize, bool)> = wanted.iter().rev().map(|index| (*index, false)).collect();
    while let Some((index, ready)) = todo.pop() {
        if ready {
            order.push(index);
        } else if !std::mem::replace(&mut seen[index], true) {
            let pipeline = &manifest.pipelines[index];
            todo.push((index, true));
            let inputs = pipeline
                .stages
                .iter()
                .rev()
                .flat_map(|stage| &stage.inputs)
                .flat_map(|input| &input.pipelines);
            let needs: Vec<usize> = pipeline.build.into_iter().chain(inputs.copied()).collect();
            todo.extend(needs.into_iter().rev().map(|index| (index, false)));
        }
    }
    order
}

fn source_failure(report: &SourceReport) -> Option<Failure> {
    let mut failed = report.items.iter().filter(|item| !item.error.is_empty());
    let first = failed.next()?;
    Some(Failure::Source {
        kind: report.kind.clone(),
        item: first.name.clone(),
        error: first.error.clone(),
        others: failed.count(),
    })
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
