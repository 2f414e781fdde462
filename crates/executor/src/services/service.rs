//! One host service: a program of a library directory that runs on the host and answers calls on a socket.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Cancel, Error, Result};

/// How often interruption is looked for.
pub(crate) const TICK: Duration = Duration::from_millis(200);

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
        let child = command.spawn().map_err(fail)?;
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

    /// Says that it is no longer needed, and waits until it has cleaned up: once the build is interrupted no longer
    /// than `grace`.
    pub(crate) fn stop(mut self, cancel: &Cancel, grace: Duration, tell: &dyn Fn(&str)) {
        self.socket = None;
        let pidfd = pid(&self.child).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let mut deadline = None;
        loop {
            self.read_log(tell);
            match self.child.try_wait() {
                Ok(None) => {}
                _ => break,
            }
            if cancel.is_cancelled() {
                let until = *deadline.get_or_insert_with(|| Instant::now() + grace);
                if Instant::now() > until {
                    self.kill();
                }
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
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}
