//! The user namespace whose root every box's root is.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys;
use crate::{Error, Guard, Result};

/// The first host id of the range that boxes use: above what distributions give to users and containers.
const BASE: u32 = 2_000_000_000;

/// How many ids a box has.
const COUNT: u32 = 65_536;

/// Whose root the box's root is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    /// `None`: the host's.
    pub(crate) userns: Option<RawFd>,
    pub(crate) root_id: u32,
}

/// A user namespace in which ids 0..65,535 are a high range of the host's: root in it is nobody outside.
#[derive(Debug)]
pub struct UserNamespace {
    /// `None`: the host's own ids.
    fd: Option<OwnedFd>,
}

impl UserNamespace {
    /// Makes the namespace.
    ///
    /// # Errors
    /// Where the process may not make one, or may not map the range.
    pub fn new() -> Result<Self> {
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
        Self { fd: None }
    }

    fn map(pid: i32) -> Result<Self> {
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{pid}/{file}");
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|mut file| file.write_all(format!("0 {BASE} {COUNT}").as_bytes()))
                .map_err(|e| Error::setup(format!("mapping the ids {BASE}..{}", BASE + COUNT - 1), e))?;
        }
        let fd = File::open(format!("/proc/{pid}/ns/user"))
            .map_err(|e| Error::setup("opening the user namespace", e))?;
        Ok(Self { fd: Some(fd.into()) })
    }

    pub(crate) fn ids(&self) -> Ids {
        Ids {
            userns: self.fd.as_ref().map(AsRawFd::as_raw_fd),
            root_id: self.root_id(),
        }
    }

    /// The host's id of the box's root.
    pub fn root_id(&self) -> u32 {
        if self.fd.is_some() { BASE } else { 0 }
    }
}

/// A pipe whose ends are closed on exec: reading, writing.
pub(crate) fn pipe() -> Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::setup("making a pipe", std::io::Error::from(e)))?;
    Ok((read.into(), write.into()))
}
