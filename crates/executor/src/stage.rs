//! Running one stage: its services, its output, its end. What its box looks like is in [`plan`].

mod plan;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use manifest::Stage;
use sandbox::{Ended, UserNamespace};
use serde_json::Value;
use store::{NewTree, Object, Store};

use crate::library::ModuleInfo;
use crate::output::Output;
use crate::pump::{pump, wait_until};
use crate::report::How;
use crate::services::{self, Beside, SandboxApi, Served};
use crate::{Cancel, Error, Result};

/// A stage about to run.
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
    pub(crate) cancel: &'a Cancel,
    pub(crate) timeout: Option<Duration>,
    /// The foreign inputs, devices and mounts.
    pub(crate) services: &'a services::Modules,
    /// Gets what those print.
    pub(crate) tell_service: &'a (dyn Fn(&str) + Sync),
}

/// What a stage left behind beside its tree.
pub(crate) struct Done {
    pub(crate) failure: Option<How>,
    pub(crate) output: String,
    pub(crate) metadata: Option<Value>,
    /// What it reported as an exception.
    pub(crate) error: Option<Value>,
}

impl Job<'_> {
    /// Runs the stage on `tree`, its output going to `log` and piece by piece to `tell`.
    pub(crate) fn run(&self, tree: &NewTree, log: File, tell: &(dyn Fn(&str) + Sync)) -> Result<Done> {
        let scratch = self.store.scratch("stage")?;
        let scratch = scratch.path();
        self.with_services(tree, scratch, |served| {
            self.run_served(tree, scratch, served, log, tell)
        })
    }

    /// Does `work` while the stage's services run. They, and whatever they mount, belong to a thread that has a mount
    /// table of its own; a stage without services needs neither.
    fn with_services<T: Send>(
        &self,
        tree: &NewTree,
        scratch: &Path,
        work: impl FnOnce(Option<&mut Served<'_>>) -> Result<T> + Send,
    ) -> Result<T> {
        if self.services.is_empty() {
            return work(None);
        }
        let serve = || {
            sandbox::own_mount_table()?;
            let around = services::Around {
                stage: self.stage,
                modules: self.services,
                objects: self.objects,
                store: self.store,
                users: self.users,
                cancel: self.cancel,
                scratch,
                tell: self.tell_service,
            };
            let mut served = Served::start(&around, plan::layers(tree))?;
            let result = work(Some(&mut served));
            let stopped = served.stop();
            result.and_then(|done| stopped.map(|()| done))
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
        log: File,
        tell: &dyn Fn(&str),
    ) -> Result<Done> {
        let mut plan = self.plan(tree, scratch, served.as_deref())?;
        let mut api = match &self.module.libdir {
            Some(_) => Some(SandboxApi::new(scratch, self.users.root_id())?),
            None => None,
        };
        plan.mounts.extend(api.iter().flat_map(SandboxApi::mounts));
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::io("make", "a pipe", e))?;
        let running = sandbox::start(plan, self.users, write)?;
        let watch = self.cancel.watch(running.killer());
        let mut output = Output::new(Some(log));
        // a limit beyond all clocks is none
        let deadline = self.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let mut beside: Vec<&mut dyn Beside> = Vec::new();
        if let Some(served) = &mut served {
            beside.push(&mut served.host);
        }
        if let Some(api) = &mut api {
            beside.push(api);
        }
        let in_time = pump(read, deadline, &mut beside, |bytes| tell(&output.push(bytes)))
            && wait_until(running.ended(), deadline, &mut beside);
        if !in_time {
            running.killer().kill();
        }
        let ended = running.wait();
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let failure = match (in_time, ended) {
            (false, _) => Some(How::TimedOut(self.timeout.unwrap_or_default().as_secs())),
            (true, Ok(Ended::Exited(0))) => None,
            (true, Ok(Ended::Exited(code))) => Some(How::Exited(code)),
            (true, Ok(Ended::Killed(signal))) => Some(How::Killed(signal)),
            (true, Err(error)) => Some(How::Other(error.to_string())),
        };
        let error = api.and_then(SandboxApi::finish);
        let metadata = std::fs::read(scratch.join("meta"))
            .ok()
            .filter(|text| !text.is_empty());
        let metadata = metadata.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Done {
            failure,
            output: output.finish(),
            metadata,
            error,
        })
    }

    /// Opens a shell in the box the stage will run in, with our own stdin and stdout, and waits for its end.
    ///
    /// # Errors
    /// It cannot be started, or says by its exit code that the build is to end.
    pub(crate) fn shell(&self, tree: &NewTree) -> Result<()> {
        let scratch = self.store.scratch("shell")?;
        let scratch = scratch.path();
        self.with_services(tree, scratch, |served| {
            self.shell_served(tree, scratch, served.as_deref())
        })
    }

    fn shell_served(&self, tree: &NewTree, scratch: &Path, served: Option<&Served<'_>>) -> Result<()> {
        let mut plan = self.plan(tree, scratch, served)?;
        let clone =
            |fd: std::io::Result<OwnedFd>| fd.map_err(|e| Error::io("take over", "stdin and stdout", e));
        plan.command.stdin = Some(clone(std::io::stdin().as_fd().try_clone_to_owned())?);
        let output = clone(std::io::stdout().as_fd().try_clone_to_owned())?;
        plan.command.program = "/bin/bash".into();
        plan.command.args = vec!["bash".into()];
        plan.command.env.retain(|(name, _)| name != "TERM");
        let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
        plan.command.env.push(("TERM".into(), term));
        let running = sandbox::start(plan, self.users, output)?;
        let watch = self.cancel.watch(running.killer());
        let ended = running.wait();
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match ended? {
            // an overlay that was mounted without syncing is refused a second time, until its work directory is new
            Ended::Exited(0) => std::fs::remove_dir_all(tree.work())
                .and_then(|()| std::fs::create_dir(tree.work()))
                .map_err(|e| Error::io("make anew", tree.work(), e)),
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
