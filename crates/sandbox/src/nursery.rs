//! A process that begins boxes beside whoever runs them.
//!
//! To make the namespaces of a box and what boxes have in common takes as long as a small stage. A nursery does it for the
//! next box while one runs, on another processor; and it is cloned from the caller once, where a caller with much memory
//! would pay for each box that it clones itself.
//!
//! ```text
//! caller    ── a byte, the report's end, the socket's end ──►  nursery
//!           ◄── the process id, or minus an errno ───────────
//! nursery   ── clone(CLONE_PARENT | namespaces) ──►  first process: a child of the caller's, which dies with its thread
//! ```
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::begun::{Begun, Common, Ends, First, Stack, namespaces, sockets};
use crate::child::{self, Prepared};
use crate::{Error, Result, Running, sys};

/// Makes boxes that have in common what one had that already runs. It belongs to the thread that made it, and so do they.
#[derive(Debug)]
pub struct Nursery {
    _first: First,
    common: Arc<Common>,
    socket: File,
    /// What was asked for and not taken yet.
    awaited: Option<Ends>,
}

impl Nursery {
    /// One for boxes that have in common with this one what its plan [says](crate::Plan::common).
    ///
    /// # Errors
    /// No process can be made.
    pub fn like(running: &Running) -> Result<Self> {
        let common = Arc::clone(running.common());
        let (here, there) = sockets()?;
        let stack = Stack::new();
        let prepared = Prepared::new(&common, &stack);
        let pid = sys::clone_process(0)
            .map_err(|e| Error::setup("making a process", std::io::Error::from_raw_os_error(e)))?;
        if pid == 0 {
            sys::close(here.as_raw_fd());
            tend(&prepared, there.as_raw_fd());
        }
        Ok(Self {
            _first: First::new(pid)?,
            common,
            socket: here.into(),
            awaited: None,
        })
    }

    /// Whether its boxes have in common what this one has.
    pub fn is_like(&self, running: &Running) -> bool {
        self.makes(running.common())
    }

    pub(crate) fn makes(&self, common: &Common) -> bool {
        *self.common == *common
    }

    /// Has it begin a box, if none waits to be taken.
    ///
    /// # Errors
    /// It has ended.
    pub fn begin(&mut self) -> Result<()> {
        if self.awaited.is_some() {
            return Ok(());
        }
        let (ends, given) = Ends::new()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [given.report.as_fd(), given.socket.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(
            &self.socket,
            &[IoSlice::new(b"!")],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
        .map_err(|e| Error::setup("asking for a box", e))?;
        self.awaited = Some(ends);
        Ok(())
    }

    /// The box that was begun. `None`: none was, or none could be.
    pub(crate) fn take(&mut self) -> Option<Begun> {
        let ends = self.awaited.take()?;
        let mut answer = [0; size_of::<i32>()];
        self.socket.read_exact(&mut answer).ok()?;
        let pid = i32::from_ne_bytes(answer);
        let first = (pid > 0).then(|| First::new(pid))?.ok()?;
        Some(Begun::new(first, Arc::clone(&self.common), ends))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // nobody else would wait for it; the nursery itself ends as any process of ours does
        drop(self.take());
    }
}

/// The whole life of a nursery. As in the first process of a box: no allocation, no lock, no panic.
fn tend(prepared: &Prepared<'_>, socket: RawFd) -> ! {
    let _ = child::die_with_parent();
    if !prepared.inherits {
        child::close_all_but([prepared.ids.userns.unwrap_or(socket), socket, socket]);
    }
    // SAFETY: it stays open for as long as the process lives.
    let control = unsafe { BorrowedFd::borrow_raw(socket) };
    while let Some([report, told]) = receive(control) {
        let pid = match sys::clone_process(namespaces() | libc::CLONE_PARENT) {
            Ok(0) => {
                sys::close(socket);
                child::first_process(&Prepared {
                    report,
                    socket: told,
                    ..*prepared
                });
            }
            Ok(pid) => pid,
            Err(errno) => -errno,
        };
        sys::close(report);
        sys::close(told);
        if sys::write(socket, &pid.to_ne_bytes()).is_err() {
            break;
        }
    }
    sys::exit(0);
}

/// The two ends that a box is to have; `None`: nobody asks any more.
fn receive(control: BorrowedFd<'_>) -> Option<[RawFd; 2]> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    loop {
        let mut slices = [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(control, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) if received.bytes == 1 => break,
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
    let mut ends: [Option<OwnedFd>; 2] = [None, None];
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for (end, fd) in ends.iter_mut().zip(descriptors) {
                *end = Some(fd);
            }
        }
    }
    let [report, told] = ends;
    Some([report?.into_raw_fd(), told?.into_raw_fd()])
}
