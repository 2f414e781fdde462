//! Stages in a virtual machine (`--in-vm`).
//!
//! A [`Pipeline`](manifest::Pipeline) has one machine, which is started by the first of its stages that runs, and boots the
//! kernel of its build tree. The machine sees the store at the store's own path. So a stage's box is planned here as ever,
//! what it binds is lent to the machine, and the plan is carried out there, by this same executable: what changes lands in
//! the new tree in the store, and is committed here. Devices and mounts are made here too. Root of such a box is the
//! machine's root.
//!
//! ```text
//! host   {"plan", "stdin", "foreign"}  ─▶  guest
//! guest  output, piece by piece; then {"ended"} or {"error"}, and "exception"  ─▶  host
//! ```

mod guest;
mod running;

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbox::{Capability, Mount, Plan, Source};
use serde_json::json;
use store::{Object, Scratch, Store};
use vm::{Agent, Description, Processor};

use crate::{Cancel, Error, Result, elf};

pub use guest::run_guest;
pub(crate) use running::Running;

/// From power on until our program is there, on an emulated processor that others keep busy.
const BOOT: Duration = Duration::from_secs(300);
/// The same on a real one.
const QUICK_BOOT: Duration = Duration::from_secs(30);

/// The machine of a pipeline: not yet started, or running.
pub(crate) struct Machine<'a> {
    pipeline: &'a str,
    build: Option<&'a Object>,
    store: &'a Store,
    cancel: &'a Cancel,
    running: Mutex<Option<Started>>,
}

/// Goes in this order.
struct Started {
    machine: Arc<vm::Machine>,
    _scratch: Scratch,
}

impl<'a> Machine<'a> {
    /// The one of a pipeline with the build tree `build`. Nothing happens before a stage is started in it.
    pub(crate) fn of(
        pipeline: &'a str,
        build: Option<&'a Object>,
        store: &'a Store,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            pipeline,
            build,
            store,
            cancel,
            running: Mutex::new(None),
        }
    }

    /// Starts the machine, if it does not run yet.
    ///
    /// # Errors
    /// There is no machine to be had.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.machine().map(drop)
    }

    /// Starts the program of a plan in a box in the machine. For a `foreign` module the sockets it expects are served
    /// there. Unless it is `trusted` it can make no device nodes, as in a box of the host.
    ///
    /// # Errors
    /// There is no machine to be had, or the plan needs what only the host has.
    pub(crate) fn start(
        &self,
        mut plan: Plan,
        foreign: bool,
        trusted: bool,
        output: OwnedFd,
    ) -> Result<Running> {
        if !trusted {
            plan.capabilities.retain(|one| *one != Capability::CAP_MKNOD);
        }
        let machine = self.machine()?;
        self.lend(&machine, &mut plan)?;
        let stdin = plan.command.stdin.take().map(read_whole).transpose()?;
        // names that are no UTF-8 cannot be told
        let plan = serde_json::to_value(plan).map_err(|e| self.refusal(&e.to_string()))?;
        let request = json!({"plan": plan, "stdin": stdin, "foreign": foreign});
        Running::in_machine(self.pipeline, machine, request.to_string(), output)
    }

    /// The error for what the machine cannot do.
    pub(crate) fn refusal(&self, what: &str) -> Error {
        Error::Machine {
            pipeline: self.pipeline.to_owned(),
            message: what.to_owned(),
        }
    }

    fn failed(&self, error: vm::Error) -> Error {
        self.refusal(&error.to_string())
    }

    fn machine(&self) -> Result<Arc<vm::Machine>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let started = match running.take() {
            Some(started) => started,
            None => self.boot()?,
        };
        Ok(Arc::clone(&running.insert(started).machine))
    }

    fn boot(&self) -> Result<Started> {
        if Processor::real_is_offered() {
            match self.boot_with(Processor::Real, QUICK_BOOT) {
                // an emulated one may do
                Err(Error::Machine { .. }) => {}
                other => return other,
            }
        }
        self.boot_with(Processor::Emulated, BOOT)
    }

    fn boot_with(&self, processor: Processor, limit: Duration) -> Result<Started> {
        let build = self.build.ok_or_else(|| {
            self.refusal("it would run the kernel of the build tree, and the pipeline has no build pipeline")
        })?;
        let scratch = self.store.scratch("vm")?;
        let machine = vm::Machine::start(Description {
            layers: build.layers(),
            writable: self.store.path().to_owned(),
            scratch: scratch.path().to_owned(),
            agent: agent(),
            processor,
        });
        let machine = machine.map_err(|e| self.failed(e))?;
        let watch = self.cancel.watch(machine.killer());
        let there = machine.wait(limit);
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        there.map_err(|e| self.failed(e))?;
        Ok(Started {
            machine: Arc::new(machine),
            _scratch: scratch,
        })
    }

    /// Lends what a plan binds, and makes the plan name it by where it is found there. It may lie anywhere, in a mount
    /// table that only this thread has too.
    fn lend(&self, machine: &vm::Machine, plan: &mut Plan) -> Result<()> {
        let (mut clones, mut binds) = (Vec::new(), Vec::new());
        for mut mount in std::mem::take(&mut plan.mounts) {
            match &mut mount {
                Mount::Bind { source, writable, .. } => match sandbox::clone_source(source, *writable)? {
                    Some(clone) => {
                        clones.push(clone);
                        binds.push(plan.mounts.len());
                    }
                    None => continue,
                },
                Mount::Node { target, .. } => {
                    return Err(
                        self.refusal(&format!("it cannot have the host's device {}", target.display()))
                    );
                }
                _ => {}
            }
            plan.mounts.push(mount);
        }
        let places = machine.lend(clones).map_err(|e| self.failed(e))?;
        for (index, place) in binds.into_iter().zip(places) {
            if let Some(Mount::Bind { source, .. }) = plan.mounts.get_mut(index) {
                *source = Source::at(place);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("pipeline", &self.pipeline)
            .finish_non_exhaustive()
    }
}

/// This very program, even if there is another one in its place by now.
fn agent() -> Agent {
    let executable = Path::new("/proc/self/exe");
    Agent {
        interpreter: elf::interpreter(executable),
        libraries: elf::own_libraries(),
        executable: executable.to_owned(),
    }
}

/// The document that a module reads.
fn read_whole(document: OwnedFd) -> Result<String> {
    let fail = |e| Error::io("read", "the arguments", e);
    let mut file = File::from(document);
    let mut text = String::new();
    file.rewind().map_err(fail)?;
    file.read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}
