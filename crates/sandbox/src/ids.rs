//! The user namespace whose root every box's root is.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::rootless::{self, IDS};
use crate::sys;
use crate::{Error, Guard, Result};

/// The first host id of the range that boxes use: above what distributions give to users and containers.
const BASE: u32 = 2_000_000_000;

/// Whose root the box's root is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    /// `None`: the host's.
    pub(crate) userns: Option<RawFd>,
    /// What layers are id-mapped by; `None`: their owners on disk are the box's as they are.
    pub(crate) shift: Option<RawFd>,
    pub(crate) root_id: u32,
    /// Whether whoever makes files is that root towards file systems already: they need not be given to it.
    pub(crate) is_root: bool,
    /// How many bytes of a path below the scaffold lead to the working directory, which then is the scaffold: to walk from
    /// the host's root each time would take a good part of a set-up. 0: paths are taken as they are.
    pub(crate) inside: usize,
}

/// Who root of a box is outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// Nobody: the first of a range of ids that is nobody's.
    Nobody,
    /// The first of the caller's sub-ids, which owns nothing but trees.
    SubIds,
    /// Root of the container that all this runs in, without its capabilities.
    Container,
    /// Root of the machine, less what is dropped.
    Host,
}

/// A user namespace in which ids 0..65,535 are a high range of the host's: root in it is nobody outside. Where no mount can
/// be id-mapped, which only the machine's root may do, they are the same ids as outside.
#[derive(Debug)]
pub struct UserNamespace {
    /// `None`: the host's own ids.
    fd: Option<OwnedFd>,
    root: Root,
}

impl Root {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::SubIds => "sub-ids",
            Self::Container => "container",
            Self::Host => "host",
        }
    }
}

impl UserNamespace {
    /// Makes the namespace.
    ///
    /// # Errors
    /// Where the process may not make one, or may not map the range.
    pub fn new() -> Result<Self> {
        if fault::lifted!("users") {
            return Ok(Self::of_host());
        }
        Self::make().map_err(|e| e.of(Guard::Users))
    }

    fn make() -> Result<Self> {
        let (mut alive_read, alive_write) = pipe()?;
        let pid = sys::clone_process(libc::CLONE_NEWUSER)
            .map_err(|e| Error::setup("making a user namespace", std::io::Error::from_raw_os_error(e)))?;
        if pid == 0 {
            // the namespace lives as long as somebody is in it or holds a descriptor: wait until the parent has one
            sys::close(alive_write.as_raw_fd());
            let mut byte = [0u8; 1];
            let _ = alive_read.read(&mut byte);
            sys::exit(0);
        }
        let result = Self::map(pid);
        // killed, since another thread's child may hold our end of the pipe too, and would keep this one waiting
        // SAFETY: killing and reaping our own child, which nobody else reaps.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
        drop(alive_write);
        result
    }

    /// No namespace: the box has the host's ids, and its root is the host's, less what is dropped. For modules that
    /// need the kernel's help on block devices, which no other namespace's root gets.
    pub fn of_host() -> Self {
        Self {
            fd: None,
            root: Root::Host,
        }
    }

    fn map(pid: i32) -> Result<Self> {
        let root = match rootless::is_in_first_namespace() {
            true => Root::Nobody,
            false if rootless::is_for_caller() => Root::SubIds,
            false => Root::Container,
        };
        let base = if root == Root::Nobody { BASE } else { 0 };
        for file in ["uid_map", "gid_map"] {
            let lines = match root {
                Root::Nobody => Ok(format!("0 {BASE} {IDS}")),
                _ => rootless::same_ids(file),
            };
            lines
                .and_then(|lines| std::fs::write(format!("/proc/{pid}/{file}"), lines))
                .map_err(|e| Error::setup(format!("mapping the ids {base}..{}", base + IDS - 1), e))?;
        }
        let fd = File::open(format!("/proc/{pid}/ns/user"))
            .map_err(|e| Error::setup("opening the user namespace", e))?;
        Ok(Self {
            fd: Some(fd.into()),
            root,
        })
    }

    pub(crate) fn ids(&self) -> Ids {
        Ids {
            userns: self.fd.as_ref().map(AsRawFd::as_raw_fd),
            shift: self
                .fd
                .as_ref()
                .filter(|_| self.root == Root::Nobody)
                .map(AsRawFd::as_raw_fd),
            root_id: self.root_id(),
            is_root: false,
            inside: 0,
        }
    }

    /// The host's id of the box's root.
    pub fn root_id(&self) -> u32 {
        if self.root == Root::Nobody { BASE } else { 0 }
    }

    /// Who root of its boxes is outside.
    pub fn root(&self) -> Root {
        self.root
    }
}

/// A pipe whose ends are closed on exec: reading, writing.
pub(crate) fn pipe() -> Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::setup("making a pipe", std::io::Error::from(e)))?;
    Ok((read.into(), write.into()))
}
