//! Starting the programs that make a machine: they die with the thread that started them.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::FdFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};
use sandbox::Killer;

use crate::{Error, Result};

/// A program that runs; it is killed when this goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it, what it says going to the file `said`. It inherits the descriptor `socket` under its number.
    #[allow(unsafe_code)]
    pub(crate) fn start(mut command: Command, sockets: &[OwnedFd], said: &Path) -> Result<Self> {
        let program = PathBuf::from(command.get_program());
        let said = File::create(said).map_err(|e| Error::io("write", said, e))?;
        let fail = |e: std::io::Error| Error::io("start", &program, e);
        let numbers: Vec<i32> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let parent = getpid();
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone().map_err(fail)?)
            .stderr(said)
            // Ctrl-C is for us alone
            .process_group(0);
        // SAFETY: between fork and exec only system calls are made, on descriptors that `sockets` keeps open.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // it may have died before
                if getppid() != Some(parent) {
                    return Err(rustix::io::Errno::SRCH.into());
                }
                for number in &numbers {
                    rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(*number), FdFlags::empty())?;
                }
                Ok(())
            });
        }
        let child = command.spawn().map_err(fail)?;
        Ok(Self { child })
    }

    /// A handle that kills it from elsewhere.
    pub(crate) fn killer(&self) -> Result<Killer> {
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty());
        let pidfd = pidfd.map_err(|e| Error::io("watch", "the virtual machine", e))?;
        Ok(Killer::new(pidfd))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of `names` in `PATH` or one of `places`.
pub(crate) fn find(names: &[&str], places: &[&str]) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |file: &PathBuf| {
        let metadata = file.metadata();
        metadata.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let mut all = std::env::split_paths(&path)
        .chain(places.iter().map(PathBuf::from))
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    all.find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_that_can_be_executed() {
        assert_eq!(
            find(&["nothing-of-that-name", "sh"], &[]),
            find(&["sh"], &["/nowhere"])
        );
        assert!(find(&["sh"], &[]).is_some());
        assert_eq!(find(&["passwd-"], &["/etc"]), None);
    }
}
