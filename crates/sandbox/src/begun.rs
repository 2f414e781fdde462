//! A box that is begun: its first process, which waits to be told the rest.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::child::{self, Prepared};
use crate::ids::{Ids, pipe};
use crate::{Error, Killer, Result, Step, lifted, sys};

/// Bytes that the module's process has for a stack until it executes: a few calls deep.
const STACK: usize = 64 << 10;

/// What a box is begun with.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) steps: Vec<Step<'static>>,
    pub(crate) inside: usize,
    pub(crate) optional: u8,
    /// Whose descriptors are the user namespace's.
    pub(crate) ids: Ids,
}

/// A box whose first process has carried out the steps that boxes have in common, or is about to. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) first: First,
    pub(crate) common: Arc<Common>,
    pub(crate) report: File,
    /// Where it is told.
    pub(crate) socket: OwnedFd,
}

/// A process of ours that ends with this value.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) pid: libc::pid_t,
    pub(crate) killer: Killer,
    waited: bool,
}

/// What the caller has of the first process's report and orders, or what that has.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) report: File,
    pub(crate) socket: OwnedFd,
}

/// Memory for [`STACK`], which nobody touches until then.
pub(crate) struct Stack(Vec<u128>);

impl Stack {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(STACK / size_of::<u128>()))
    }

    fn end(&self) -> *mut libc::c_void {
        self.0.as_ptr().wrapping_add(self.0.capacity()).cast_mut().cast()
    }
}

impl Ends {
    pub(crate) fn new() -> Result<(Self, Self)> {
        let ((report, write), (here, there)) = (pipe()?, sockets()?);
        let ours = Self { report, socket: here };
        let theirs = Self {
            report: write,
            socket: there,
        };
        Ok((ours, theirs))
    }
}

pub(crate) fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    socketpair(family, kind, SocketFlags::CLOEXEC, None)
        .map_err(|e| Error::setup("making a pair of sockets", e))
}

/// The flags of clone(2) for the namespaces that a box has from the beginning.
pub(crate) fn namespaces(own_network: bool) -> libc::c_int {
    let network = if own_network { libc::CLONE_NEWNET } else { 0 };
    lifted::namespaces(
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | network,
    )
}

impl PartialEq for Common {
    fn eq(&self, other: &Self) -> bool {
        let users = |common: &Self| (common.ids.userns, common.ids.shift, common.ids.root_id);
        (&self.steps, self.inside, self.optional, users(self))
            == (&other.steps, other.inside, other.optional, users(other))
    }
}

impl<'a> Prepared<'a> {
    /// Without the ends that are one box's.
    pub(crate) fn new(common: &'a Common, stack: &Stack) -> Self {
        Self {
            steps: &common.steps,
            inside: common.inside,
            optional: common.optional,
            ids: common.ids,
            stack: stack.end(),
            inherits: fault::lifted!("descriptors"),
            report: -1,
            socket: -1,
        }
    }
}

impl Begun {
    /// Clones this process.
    pub(crate) fn here(common: Arc<Common>) -> Result<Self> {
        let (ours, theirs) = Ends::new()?;
        let stack = Stack::new();
        let prepared = Prepared {
            report: theirs.report.as_raw_fd(),
            socket: theirs.socket.as_raw_fd(),
            ..Prepared::new(&common, &stack)
        };
        let pid = sys::clone_process(namespaces(true))
            .map_err(|e| Error::setup("making the namespaces", std::io::Error::from_raw_os_error(e)))?;
        if pid == 0 {
            // so that an executor that dies closes the last other end
            sys::close(ours.socket.as_raw_fd());
            child::first_process(&prepared);
        }
        Ok(Self {
            first: First::new(pid)?,
            common,
            report: ours.report,
            socket: ours.socket,
        })
    }
}

impl First {
    /// A child of this process that was not waited for.
    pub(crate) fn new(pid: libc::pid_t) -> Result<Self> {
        let pidfd = rustix::process::Pid::from_raw(pid)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|e| Error::setup("opening the first process", e))?;
        Ok(Self {
            pid,
            killer: Killer::new(pidfd),
            waited: false,
        })
    }

    /// Waits for its end.
    pub(crate) fn reap(&mut self) {
        // SAFETY: waiting for our own child; a signal may interrupt.
        while unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } < 0 && sys::errno() == libc::EINTR {
        }
        self.waited = true;
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if !self.waited {
            self.killer.kill();
            self.reap();
        }
    }
}
