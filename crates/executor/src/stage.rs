//! Running one stage: its services, its output, its end. What its box looks like is in [`plan`].

mod chroot;
mod plan;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use manifest::Stage;
use sandbox::{Ended, Nursery, UserNamespace};
use serde_json::Value;
use store::{NewTree, Object, Store};

use crate::ahead::Ahead;
use crate::bounds::Bounds;
use crate::build::needs_host;
use crate::deeds::Deeds;
use crate::devices::fill::Fill;
use crate::devices::graft::Graft;
use crate::devices::setup::Setup;
use crate::library::ModuleInfo;
use crate::machine::{Machine, Running};
use crate::output::Output;
use crate::pump::{pump, wait_until};
use crate::report::How;
use crate::services::{self, Beside, SandboxApi, Served};
use crate::{Cancel, Error, Result, driver};

pub(crate) use plan::memory_file;

/// A stage about to run.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) module: &'a ModuleInfo,
    /// The runner that the manifest asks for.
    pub(crate) runner: Option<&'a str>,
    pub(crate) build: Option<&'a Object>,
    /// The trees of the manifest's pipelines, as far as they are built.
    pub(crate) objects: &'a [Option<Object>],
    pub(crate) store: &'a Store,
    pub(crate) users: &'a UserNamespace,
    /// Where the stage is to run in a virtual machine, that.
    pub(crate) machine: Option<&'a Machine<'a>>,
    pub(crate) cancel: &'a Cancel,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bounds: &'a Bounds<'a>,
    /// Boxes that are begun before their stages.
    pub(crate) ahead: &'a Ahead,
    /// Whether the pipeline's next stage has use for one, and then whether it may make sockets.
    pub(crate) next_makes_sockets: Option<bool>,
    /// The foreign inputs, devices and mounts.
    pub(crate) services: &'a services::Modules,
    /// How the devices and mounts that are ours are had.
    pub(crate) setup: &'a Setup,
    /// For a second run of a stage that makes a file system: what is to be in it.
    pub(crate) fill: Option<Fill<'a>>,
    /// Gets what those print.
    pub(crate) tell_service: &'a (dyn Fn(&str) + Sync),
}

/// What a stage left behind beside its tree.
pub(crate) struct Done {
    /// When its time began, later by what it took to tell what it printed: that may wait for other pipelines, or for who
    /// reads it.
    pub(crate) since: Instant,
    pub(crate) failure: Option<How>,
    pub(crate) output: String,
    pub(crate) metadata: Option<Value>,
    /// What it reported as an exception.
    pub(crate) error: Option<Value>,
    /// The kinds of the file systems that it made and can make again with other content, by device.
    pub(crate) file_systems: Value,
    /// What it asks for that only the machine's root may do.
    pub(crate) deeds: Deeds,
    /// It has done nothing yet, and wants to run again on this.
    pub(crate) graft: Option<Graft>,
}

impl Done {
    /// Nothing was run, since this failed before.
    pub(crate) fn failed(how: How) -> Self {
        Self {
            since: Instant::now(),
            failure: Some(how),
            output: String::new(),
            metadata: None,
            error: None,
            file_systems: Value::Null,
            deeds: Deeds::default(),
            graft: None,
        }
    }
}

/// Makes the work directory anew: an overlay that was mounted without syncing is refused a second time until then.
pub(crate) fn renew(tree: &NewTree) -> Result<()> {
    std::fs::remove_dir_all(tree.work())
        .and_then(|()| std::fs::create_dir(tree.work()))
        .map_err(|e| Error::io("make anew", tree.work(), e))
}

impl Job<'_> {
    /// Runs the stage on `tree`, its output going to `log` and piece by piece to `tell`.
    pub(crate) fn run(&self, tree: &NewTree, log: File, tell: &(dyn Fn(&str) + Sync)) -> Result<Done> {
        if let Some(machine) = self.machine {
            if self.bounds.are_asked_for() {
                return Err(machine.refusal("its limits are its own: leave out --in-vm, or the limits"));
            }
            machine.prepare()?;
        } else if needs_host(self.stage, self.module) && !sandbox::is_in_first_namespace() {
            let why = match self.module.libdir {
                Some(_) => {
                    "it is not ours, and has the kernel mount or make file systems on devices, which only the machine's \
                     root may: build as root, or with our own module (leave out --libdir)"
                }
                None => {
                    "it has the kernel mount file systems of images, which only the machine's root may: build as root, \
                     or with --in-vm"
                }
            };
            return Err(self.stopped(why.into()));
        }
        let place = self.store.place("stage", plan::fill_stage)?;
        let scratch = place.path();
        let since = Instant::now();
        let said = log.try_clone();
        let done = self.with_services(tree, scratch, self.deadline(since), |served| {
            self.run_served(tree, scratch, served, since, log, tell)
        });
        // nobody is left in a box that was waited for; of a machine nobody here knows
        if self.machine.is_none() {
            self.store.give_back(place);
        }
        match done {
            Err(Error::OverTime(what)) => {
                let failure = Some(self.timed_out());
                Ok(Done {
                    since,
                    output: complain(&what, String::new(), said.ok(), tell),
                    failure,
                    metadata: None,
                    error: None,
                    file_systems: Value::Null,
                    deeds: Deeds::default(),
                    graft: None,
                })
            }
            Ok((done, Err(Error::OverTime(what)))) => Ok(Done {
                output: complain(&what, done.output, said.ok(), tell),
                failure: done.failure.or_else(|| Some(self.timed_out())),
                ..done
            }),
            // how the stage itself failed says more than what came of it
            Ok((done, Err(Error::Unbuildable { .. }))) if done.failure.is_some() => Ok(done),
            Ok((done, stopped)) => stopped.map(|()| done),
            Err(error) => Err(error),
        }
    }

    /// When the time that began at `since` is over.
    fn deadline(&self, since: Instant) -> Option<Instant> {
        // a limit beyond all clocks is none
        self.timeout.and_then(|limit| since.checked_add(limit))
    }

    fn timed_out(&self) -> How {
        How::TimedOut(self.timeout.unwrap_or_default().as_secs())
    }

    /// Does `work` while the stage's services run. They, and whatever they mount, belong to a thread that has a mount
    /// table of its own; a stage without services needs neither. Beside what came of it: how the services ended.
    fn with_services<T: Send>(
        &self,
        tree: &NewTree,
        scratch: &Path,
        deadline: Option<Instant>,
        work: impl FnOnce(Option<&mut Served<'_>>) -> Result<T> + Send,
    ) -> Result<(T, Result<()>)> {
        if self.services.is_empty() {
            return Ok((work(None)?, Ok(())));
        }
        let serve = || {
            sandbox::own_mount_table()?;
            let around = services::Around {
                stage: self.stage,
                modules: self.services,
                setup: self.setup,
                objects: self.objects,
                store: self.store,
                users: self.users,
                cancel: self.cancel,
                scratch,
                tell: self.tell_service,
                deadline,
            };
            let mut served = Served::start(&around, driver::layers_of_new(tree, self.users, false)?)?;
            let result = work(Some(&mut served));
            let stopped = served.stop();
            Ok((result?, stopped))
        };
        std::thread::scope(|scope| match scope.spawn(serve).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn run_served(
        &self,
        tree: &NewTree,
        scratch: &Path,
        mut served: Option<&mut Served<'_>>,
        since: Instant,
        log: File,
        tell: &dyn Fn(&str),
    ) -> Result<Done> {
        let setting_up = trace::span("set up");
        let mut plan = self.plan(tree, scratch, served.as_deref())?;
        // ours have them for their loop devices alone
        let has_sockets =
            self.module.libdir.is_some() || self.module.profile().loop_devices(&self.stage.options);
        let mut api = match self.machine {
            None if has_sockets => Some(SandboxApi::new(scratch, self.users.root_id())?),
            _ => None,
        };
        plan.mounts.extend(api.iter().flat_map(SandboxApi::mounts));
        driver::settle_mounts(&mut plan.mounts, self.store, self.users, scratch)?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::io("make", "a pipe", e))?;
        let before = self.bounds.hits();
        let running = match self.machine {
            Some(machine) => machine.start(plan, has_sockets, needs_host(self.stage, self.module), write)?,
            None => {
                // services have mounts that a box begun elsewhere does not see
                let group = self.bounds.group()?;
                let start = |nursery: Option<&mut Nursery>| {
                    let nursery = nursery.filter(|_| served.is_none());
                    sandbox::start_from(nursery, plan, self.users, write, group)
                };
                Running::Here(self.ahead.start(self.next_makes_sockets.is_some(), start)?)
            }
        };
        let watch = self.cancel.watch(running.killer());
        drop(setting_up);
        if let (Running::Here(_), None, Some(sockets)) = (&running, &served, self.next_makes_sockets) {
            self.ahead.begin(sockets);
        }
        let running_span = trace::span("run");
        let mut output = Output::new(Some(log));
        let mut beside: Vec<&mut dyn Beside> = Vec::new();
        if let Some(served) = &mut served {
            beside.push(&mut served.host);
        }
        if let Some(api) = &mut api {
            beside.push(api);
        }
        let told = pump(read, self.deadline(since), &mut beside, |bytes| {
            tell(&output.push(bytes));
        });
        let since = since + told.unwrap_or_default();
        let in_time = told.is_some() && wait_until(running.ended(), self.deadline(since), &mut beside);
        if !in_time {
            running.killer().kill();
        }
        let mut missing = Vec::new();
        let (ended, exception) = running.wait(&mut missing);
        drop(running_span);
        self.bounds.note(&missing);
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let failure = match (in_time, ended) {
            (false, _) => Some(self.timed_out()),
            (true, Ok(Ended::Exited(0))) => None,
            (true, Ok(Ended::Exited(code))) => Some(How::Exited(code)),
            (true, Ok(Ended::Killed(signal))) => Some(How::Killed(signal)),
            (true, Err(error)) => Some(How::Other(error.to_string())),
        };
        let failure = self.bounds.exceeded(before, failure.is_some()).or(failure);
        if let Some(How::Other(why)) = &failure {
            // in documents there is no other place for it
            tell(&output.push(format!("{why}\n").as_bytes()));
        }
        let error = api.and_then(SandboxApi::finish).or(exception);
        let written = |name: &str| -> Option<Value> {
            let path = scratch.join(name);
            // to read even nothing would set the time of the last access
            std::fs::symlink_metadata(&path)
                .ok()
                .filter(|file| file.len() > 0)?;
            let text = std::fs::read(path).ok();
            text.and_then(|text| serde_json::from_slice(&text).ok())
        };
        if trace::is_on() && self.keeps_trace() {
            let part = std::fs::read_to_string(scratch.join("trace")).unwrap_or_default();
            trace::adopt(&self.module.name, &part);
        }
        let metadata = written("meta");
        Ok(Done {
            since,
            failure,
            output: output.finish(),
            metadata,
            error,
            file_systems: written("filesystems").unwrap_or_default(),
            deeds: Deeds::read(&scratch.join("deeds"), self.module),
            graft: written("graft").and_then(|graft| serde_json::from_value(graft).ok()),
        })
    }

    /// Opens a shell in the box the stage will run in, with our own stdin and stdout, and waits for its end.
    ///
    /// # Errors
    /// It cannot be started, or says by its exit code that the build is to end.
    pub(crate) fn shell(&self, tree: &NewTree) -> Result<()> {
        if let Some(machine) = self.machine {
            return Err(machine.refusal("no shell can be opened in it: leave out --break or --in-vm"));
        }
        let place = self.store.place("shell", plan::fill_stage)?;
        let scratch = place.path();
        // nobody hurries a person
        self.with_services(tree, scratch, None, |served| {
            self.shell_served(tree, scratch, served.as_deref())
        })?
        .1
    }

    fn shell_served(&self, tree: &NewTree, scratch: &Path, served: Option<&Served<'_>>) -> Result<()> {
        let mut plan = self.plan(tree, scratch, served)?;
        driver::settle_mounts(&mut plan.mounts, self.store, self.users, scratch)?;
        let clone =
            |fd: std::io::Result<OwnedFd>| fd.map_err(|e| Error::io("take over", "stdin and stdout", e));
        plan.command.stdin = Some(clone(std::io::stdin().as_fd().try_clone_to_owned())?);
        let output = clone(std::io::stdout().as_fd().try_clone_to_owned())?;
        plan.command.program = "/bin/bash".into();
        plan.command.args = vec!["bash".into()];
        plan.command.env.retain(|(name, _)| name != "TERM");
        let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
        plan.command.env.push(("TERM".into(), term));
        // a person looks around with more than the module has
        plan.capabilities = sandbox::DEFAULT_CAPABILITIES.to_vec();
        plan.sockets = true;
        let shell = self.cancel.open_shell();
        let running = sandbox::start_in(plan, self.users, output, self.bounds.group()?)?;
        let watch = self.cancel.watch(running.killer());
        let ended = running.wait();
        drop(watch);
        drop(shell);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match ended? {
            Ended::Exited(0) => renew(tree),
            Ended::Exited(code) => {
                Err(self.stopped(format!("the shell before it ended with exit code {code}")))
            }
            Ended::Killed(signal) => {
                Err(self.stopped(format!("the shell before it was killed by signal {signal}")))
            }
        }
    }

    fn stopped(&self, message: String) -> Error {
        Error::Unbuildable {
            stage: self.stage.name.clone(),
            message,
        }
    }
}

/// Adds what the services did to a stage to its output, its log and what is shown; the whole output.
fn complain(what: &str, mut output: String, log: Option<File>, tell: &dyn Fn(&str)) -> String {
    if !output.is_empty() && !output.ends_with('\n') {
        output.push('\n');
    }
    let line = format!("{what}\n");
    tell(&line);
    if let Some(mut log) = log {
        // as with all output: a full disk must not stop the stage
        let _ = log.write_all(line.as_bytes());
    }
    output + &line
}
