//! One host service: a program of a library directory that runs on the host and answers calls on a socket.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Error, Result};

/// How often interruption is looked for.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// The services of this process that run: for an end that cannot wait for them.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a service of this process runs, at work or cleaning up.
pub fn any_runs() -> bool {
    !running().is_empty()
}

/// Kills all services of this process: to be called just before it exits. What they mounted goes with them.
pub fn abandon() {
    // kept, so that none is started any more
    let running = running();
    for pid in running.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    std::mem::forget(running);
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    /// What it is to the stage, such as `device/disk`.
    pub(crate) id: String,
    program: String,
    child: Child,
    /// `None` once it is to stop.
    socket: Option<OwnedFd>,
    log: File,
    /// Whether something may still come out of `log`.
    prints: bool,
    /// The beginning of a line of which the rest has not come.
    line: Vec<u8>,
}

impl Service {
    /// Starts `executable` as the service `id`. `python_path` is where the Python package lies.
    #[allow(unsafe_code)]
    pub(crate) fn start(id: String, executable: &Path, python_path: Option<&Path>) -> Result<Self> {
        let fail = |e: std::io::Error| Error::io("start", executable, e);
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|e| fail(e.into()))?;
        let (log, output) = std::io::pipe().map_err(fail)?;
        let log = File::from(OwnedFd::from(log));
        rustix::io::ioctl_fionbio(&log, true).map_err(|e| fail(e.into()))?;
        let number = theirs.as_raw_fd();
        let mut command = Command::new(executable);
        command
            .args(["--service-id", &id, "--service-fd", &number.to_string()])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(fail)?)
            .stderr(output)
            .process_group(0);
        if let Some(path) = python_path {
            command.env("PYTHONPATH", path);
        }
        // SAFETY: between fork and exec one system call is made, on a descriptor that `theirs` keeps open.
        unsafe {
            command.pre_exec(move || {
                let fd = BorrowedFd::borrow_raw(number);
                rustix::io::fcntl_setfd(fd, FdFlags::empty()).map_err(Into::into)
            });
        }
        let child = {
            let mut running = running();
            let child = command.spawn().map_err(fail)?;
            running.extend(i32::try_from(child.id()));
            child
        };
        let program = executable
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            id,
            program,
            child,
            socket: Some(ours),
            log,
            prints: true,
            line: Vec::new(),
        })
    }

    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn log(&self) -> BorrowedFd<'_> {
        self.log.as_fd()
    }

    /// Whether it may still print something.
    pub(crate) fn prints(&self) -> bool {
        self.prints
    }

    /// Hands on the lines it has printed so far.
    pub(crate) fn read_log(&mut self, tell: &dyn Fn(&str)) {
        self.prints = self.prints && self.try_read_log(tell);
    }

    /// False once there will be no more.
    fn try_read_log(&mut self, tell: &dyn Fn(&str)) -> bool {
        let mut buffer = [0u8; 8 << 10];
        loop {
            match self.log.read(&mut buffer) {
                Ok(0) => {
                    if !self.line.is_empty() {
                        self.line.push(b'\n');
                        self.tell_lines(tell);
                    }
                    return false;
                }
                Ok(count) => {
                    self.line.extend_from_slice(&buffer[..count]);
                    self.tell_lines(tell);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn tell_lines(&mut self, tell: &dyn Fn(&str)) {
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            tell(&format!("{} ({}): {line}", self.id, self.program));
        }
    }

    /// Whether something has stopped it, as a signal or a read from the terminal does: it will not go on by itself.
    pub(crate) fn is_stopped(&self) -> bool {
        // proc(5): the state stands behind the name, which is in brackets and may hold anything
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// What it is, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.id, self.program)
    }

    /// Says that it is no longer needed, and waits until it has cleaned up; `until` says, again and again, for how long.
    /// False: it had to be killed.
    pub(crate) fn stop(mut self, until: &mut dyn FnMut() -> Option<Instant>, tell: &dyn Fn(&str)) -> bool {
        self.socket = None;
        let pid = pid(&self.child);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let mut killed = false;
        loop {
            self.read_log(tell);
            if self.has_ended() {
                break;
            }
            // one that was stopped would never hear of it
            if self.is_stopped() {
                let _ = pid.map(|pid| kill_process_group(pid, Signal::CONT));
            }
            if until().is_some_and(|until| Instant::now() > until) {
                killed = true;
                self.kill();
            }
            let mut fds: Vec<PollFd<'_>> = Vec::new();
            fds.extend(pidfd.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            if self.prints {
                fds.push(PollFd::new(&self.log, PollFlags::IN));
            }
            let tick = TICK.try_into().ok();
            let _ = poll(&mut fds, tick.as_ref());
        }
        self.read_log(tell);
        !killed
    }

    /// Whether it has ended. Its number is another's from then on, so it is forgotten in the same moment.
    fn has_ended(&mut self) -> bool {
        let mut running = running();
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            running.retain(|pid| u32::try_from(*pid) != Ok(self.child.id()));
        }
        ended
    }

    fn kill(&mut self) {
        if let Some(pid) = pid(&self.child) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
    }
}

impl Drop for Service {
    /// One that was not stopped is ended here: it must not outlive the stage.
    fn drop(&mut self) {
        while !self.has_ended() {
            self.kill();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `script` as a service until its first line, then stops it within `limit`: whether it ended by itself.
    fn stopped(script: &str, limit: Duration) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let (text, program) = (dir.path().join("text"), dir.path().join("service"));
        std::fs::write(&text, format!("#!/bin/sh\necho begun\n{script}\n")).unwrap();
        // not by us: what another thread just starts has for a moment all that is open here, and a file that is open for
        // writing cannot be executed
        let mut install = std::process::Command::new("install");
        assert!(
            install
                .arg("-m755")
                .args([&text, &program])
                .status()
                .unwrap()
                .success()
        );
        let mut service = Service::start("device/x".into(), &program, None).unwrap();
        assert!(any_runs());
        let begun = std::cell::Cell::new(false);
        let tell = |_: &str| begun.set(true);
        while !begun.get() {
            let _ = poll(&mut [PollFd::new(&service.log, PollFlags::IN)], None);
            service.read_log(&tell);
        }
        let until = Instant::now() + limit;
        service.stop(&mut || Some(until), &tell)
    }

    #[test]
    fn a_service_ends_by_itself_or_is_killed() {
        let long = Duration::from_secs(60);
        assert!(stopped("exit 1", long));
        assert!(stopped("kill -STOP $$", long), "who was stopped is woken");
        let short = Duration::from_millis(10);
        assert!(!stopped("trap '' TERM INT HUP; sleep 1000", short));
    }
}
