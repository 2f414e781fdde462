//! Starting a box and waiting for its end.
//!
//! ```text
//! begin     the first process, which carries out what boxes have in common, and waits: made now, or by a nursery before
//! go on     tells it the rest: its own steps, its module
//! wait      what it reports, and its end
//! ```
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{Signal, pidfd_send_signal};

use crate::begun::{Begun, Common, First};
use crate::cgroup::Door;
use crate::child::{JOINING, ORDERS, Report};
use crate::guard::Guard;
use crate::message::{Message, Texts};
use crate::steps::{Steps, c_string};
use crate::{Error, Group, Nursery, Plan, Result, Step, UserNamespace, lifted, steps};

/// How a module ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A box with its module running in it. It must be waited for; dropping it kills everything in the box first.
#[derive(Debug)]
pub struct Running {
    first: First,
    report: File,
    common: Arc<Common>,
    own: Vec<Step<'static>>,
    program: String,
}

/// Kills a box from another thread.
#[derive(Debug, Clone)]
pub struct Killer {
    pidfd: Arc<OwnedFd>,
}

impl Killer {
    /// One for a process that is more than a box of ours.
    pub fn new(pidfd: OwnedFd) -> Self {
        Self {
            pidfd: Arc::new(pidfd),
        }
    }

    /// Whether both kill the same box.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pidfd, &other.pidfd)
    }

    /// Kills everything in the box. A box that has ended is fine.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
    }
}

/// Makes the box and starts the module in it. `output` receives what it prints on stdout and stderr.
///
/// The box dies with the thread that calls this.
///
/// # Errors
/// The plan cannot be put into system calls, or no process can be made. That a step of the set-up fails is told by
/// [`Running::wait`].
pub fn start(plan: Plan, users: &UserNamespace, output: OwnedFd) -> Result<Running> {
    start_in(plan, users, output, None)
}

/// The same in a control group.
///
/// # Errors
/// As [`start`]; the box cannot join the group.
pub fn start_in(
    plan: Plan,
    users: &UserNamespace,
    output: OwnedFd,
    group: Option<&Group>,
) -> Result<Running> {
    start_from(None, plan, users, output, group)
}

/// The same with a box from a nursery of this thread: one that it has [begun](Nursery::begin), if that is like this one.
///
/// # Errors
/// As [`start_in`].
pub fn start_from(
    nursery: Option<&mut Nursery>,
    plan: Plan,
    users: &UserNamespace,
    output: OwnedFd,
    group: Option<&Group>,
) -> Result<Running> {
    let mut plan = lifted::plan(plan);
    let needs_network = plan.needs_network();
    // without a slash at its end
    plan.scaffold = plan.scaffold.components().collect();
    let Steps { common, own } = steps(&plan)?;
    let own = lifted::steps(own);
    let common = Arc::new(Common {
        steps: lifted::steps(common),
        inside: plan.scaffold.as_os_str().len() + "/".len(),
        optional: plan.guards.optional_bits(),
        ids: users.ids(),
    });
    let command = plan.command;
    let texts = Texts {
        program: c_string(&command.program)?.into(),
        args: command
            .args
            .iter()
            .map(|text| Ok(c_string(text)?.into()))
            .collect::<Result<_>>()?,
        env: command
            .env
            .iter()
            .map(|(name, value)| Ok(c_string([name.as_os_str(), value].join("=".as_ref()))?.into()))
            .collect::<Result<_>>()?,
    };
    let message = Message::new(&own, &texts)
        .map_err(|e| Error::Plan(format!("the box cannot be told its set-up: {e}")))?;
    let stdin = match command.stdin {
        Some(fd) => fd,
        None => File::open("/dev/null")
            .map_err(|e| Error::setup("opening /dev/null", e))?
            .into(),
    };
    let doors = group.map(Group::doors).unwrap_or_default();
    let groups: Vec<BorrowedFd<'_>> = doors.iter().filter_map(Door::itself).collect();
    let tell = |begun: &Begun| -> Result<bool> {
        for door in &doors {
            door.put(begun.first.pid)?;
        }
        let sent = message.send(&begun.socket, (stdin.as_fd(), output.as_fd()), &groups);
        match sent {
            Ok(()) => Ok(true),
            // it has ended, and reported why
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(false),
            Err(error) => Err(Error::setup("telling the first process", error)),
        }
    };
    let program = command.program.display().to_string();
    // what cannot be had from there fails here too, or does not
    let begun = nursery.and_then(|nursery| nursery.take(&common, needs_network).ok().flatten());
    if let Some(begun) = begun
        && tell(&begun)?
    {
        return Ok(Running::of(begun, own, program));
    }
    let begun = Begun::here(common)?;
    tell(&begun)?;
    Ok(Running::of(begun, own, program))
}

impl Running {
    fn of(begun: Begun, own: Vec<Step<'static>>, program: String) -> Self {
        let Begun {
            first,
            common,
            report,
            ..
        } = begun;
        Self {
            first,
            report,
            common,
            own,
            program,
        }
    }

    /// A handle that kills the box from elsewhere.
    pub fn killer(&self) -> Killer {
        self.first.killer.clone()
    }

    /// A descriptor that becomes readable when the box has ended, for `poll`.
    pub fn ended(&self) -> std::os::fd::BorrowedFd<'_> {
        self.first.killer.pidfd.as_fd()
    }

    /// Waits until nothing runs in the box any more.
    ///
    /// # Errors
    /// The step of the set-up that failed, or that the program could not be executed.
    pub fn wait(self) -> Result<Ended> {
        self.wait_noting(&mut Vec::new())
    }

    /// The same; adds the parts of the boundary that the box had to do without.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_noting(mut self, missing: &mut Vec<Guard>) -> Result<Ended> {
        let mut bytes = Vec::new();
        let read = self.report.read_to_end(&mut bytes);
        self.first.reap();
        read.map_err(|e| Error::setup("reading the report of the first process", e))?;
        let mut last = None;
        for report in bytes.chunks_exact(Report::SIZE).filter_map(Report::from_bytes) {
            match report {
                Report::Missed(step, _) => missing.extend(self.step(step).and_then(Guard::of)),
                other => last = last.or(Some(other)),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        match last {
            Some(Report::Ended(status)) if libc::WIFEXITED(status) => {
                Ok(Ended::Exited(libc::WEXITSTATUS(status)))
            }
            Some(Report::Ended(status)) => Ok(Ended::Killed(libc::WTERMSIG(status))),
            Some(Report::Failed(step, errno)) => {
                let otherwise = match step {
                    JOINING => "joining its control groups",
                    ORDERS => "learning what it is for",
                    _ => "binding its life to ours",
                };
                let step = self.step(step);
                let source = std::io::Error::from_raw_os_error(errno);
                let operation = step.map_or_else(|| otherwise.to_owned(), ToString::to_string);
                Err(match step.and_then(Guard::of) {
                    Some(guard) => Error::Guard {
                        guard,
                        operation,
                        source,
                    },
                    None => Error::Step {
                        step: operation,
                        source,
                    },
                })
            }
            Some(Report::NotExecuted(errno)) => {
                let step = format!("executing {}", self.program);
                Err(Error::Step {
                    step,
                    source: std::io::Error::from_raw_os_error(errno),
                })
            }
            // nobody was left to report: the box was killed
            None | Some(Report::Missed(..)) => Ok(Ended::Killed(libc::SIGKILL)),
        }
    }

    fn step(&self, index: i32) -> Option<&Step<'static>> {
        let index = usize::try_from(index).ok()?;
        let (common, own) = (&self.common.steps, &self.own);
        common
            .get(index)
            .or_else(|| own.get(index.checked_sub(common.len())?))
    }
}
