//! The user namespace whose root every box's root is.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;
use crate::{Error, Result};

/// The first host id of the range that boxes use: above what distributions give to users and containers.
const BASE: u32 = 2_000_000_000;

/// How many ids a box has.
const COUNT: u32 = 65_536;

/// A user namespace in which ids 0..65,535 are a high range of the host's: root in it is nobody outside.
#[derive(Debug)]
pub struct UserNamespace {
    fd: OwnedFd,
}

impl UserNamespace {
    /// Makes the namespace.
    ///
    /// # Errors
    /// Where the process may not make one, or may not map the range.
    pub fn new() -> Result<Self> {
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
        drop(alive_write);
        // SAFETY: reaping our own child.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        result
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
        Ok(Self { fd: fd.into() })
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// The host's id of the box's root.
    pub fn root_id(&self) -> u32 {
        BASE
    }
}

/// A pipe whose ends are closed on exec: reading, writing.
pub(crate) fn pipe() -> Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::setup("making a pipe", std::io::Error::from(e)))?;
    Ok((read.into(), write.into()))
}
