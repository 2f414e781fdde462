//! Starting a box and waiting for its end.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::Door;
use crate::child::{self, JOINING, Prepared, Report};
use crate::guard::Guard;
use crate::ids::pipe;
use crate::steps::c_string;
use crate::{Error, Group, Plan, Result, Step, UserNamespace, lifted, steps, sys};

/// Bytes that the module's process has for a stack until it executes: a few calls deep.
const STACK: usize = 64 << 10;

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
    pid: libc::pid_t,
    killer: Killer,
    report: File,
    steps: Vec<Step>,
    program: String,
    waited: bool,
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
    let mut plan = lifted::plan(plan);
    // without a slash at its end
    plan.scaffold = plan.scaffold.components().collect();
    let steps = lifted::steps(steps(&plan)?);
    let optional = plan.guards.optional_bits();
    let inside = plan.scaffold.as_os_str().len() + "/".len();
    let command = plan.command;
    let args = c_strings(&command.args)?;
    let env: Vec<_> = command
        .env
        .iter()
        .map(|(name, value)| [name.as_os_str(), value].join("=".as_ref()))
        .collect();
    let env = c_strings(&env)?;
    let stdin = match command.stdin {
        Some(fd) => fd,
        None => File::open("/dev/null")
            .map_err(|e| Error::setup("opening /dev/null", e))?
            .into(),
    };
    let (report_read, report_write) = pipe()?;
    let (start_read, start_write) = pipe()?;
    let doors = group.map(Group::doors).unwrap_or_default();
    let own = doors.iter().filter_map(|door| match door {
        Door::Itself(tasks) => Some(tasks.as_raw_fd()),
        Door::Other(_) => None,
    });
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    let prepared = Prepared {
        stack: stack
            .as_mut_ptr_range()
            .start
            .wrapping_add(stack.capacity())
            .cast(),
        groups: own.collect(),
        steps,
        inside,
        optional,
        program: c_string(&command.program)?,
        argv: pointers(&args),
        envp: pointers(&env),
        ids: users.ids(),
        stdin: stdin.as_raw_fd(),
        output: output.as_raw_fd(),
        report: report_write.as_raw_fd(),
        start: start_read.as_raw_fd(),
        inherits: fault::lifted!("descriptors"),
    };
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET;
    let pid = sys::clone_process(lifted::namespaces(namespaces))
        .map_err(|e| Error::setup("making the namespaces", std::io::Error::from_raw_os_error(e)))?;
    if pid == 0 {
        // so that an executor that dies closes the last other end
        sys::close(start_write.as_raw_fd());
        child::first_process(&prepared);
    }
    let pidfd = rustix::process::Pid::from_raw(pid)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .map_err(|e| Error::setup("opening the first process", std::io::Error::from(e)))?;
    let running = Running {
        pid,
        killer: Killer {
            pidfd: Arc::new(pidfd),
        },
        report: report_read,
        steps: prepared.steps,
        program: command.program.display().to_string(),
        waited: false,
    };
    for door in &doors {
        door.put(pid)?;
    }
    (&start_write)
        .write_all(b"!")
        .map_err(|e| Error::setup("starting the first process", e))?;
    Ok(running)
}

impl Running {
    /// A handle that kills the box from elsewhere.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// A descriptor that becomes readable when the box has ended, for `poll`.
    pub fn ended(&self) -> std::os::fd::BorrowedFd<'_> {
        self.killer.pidfd.as_fd()
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
        self.reap();
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
                    _ => "binding its life to ours",
                };
                let step = self.step(step);
                let source = std::io::Error::from_raw_os_error(errno);
                let operation = step.map_or_else(|| otherwise.to_owned(), Step::to_string);
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

    fn step(&self, index: i32) -> Option<&Step> {
        self.steps.get(usize::try_from(index).ok()?)
    }

    fn reap(&mut self) {
        // SAFETY: waiting for our own child; a signal may interrupt.
        while unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } < 0 && sys::errno() == libc::EINTR {
        }
        self.waited = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited {
            self.killer.kill();
            self.reap();
        }
    }
}

fn c_strings(texts: &[std::ffi::OsString]) -> Result<Vec<CString>> {
    texts.iter().map(c_string).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}
