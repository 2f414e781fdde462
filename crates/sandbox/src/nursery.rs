//! A process that begins boxes beside whoever runs them.
//!
//! To make the namespaces of a box and what boxes have in common takes as long as a small stage. A nursery does it for the
//! next box while one runs, on another processor; and it is cloned from the caller once, where a caller with much memory
//! would pay for each box that it clones itself.
//!
//! ```text
//! caller    ── which kind, the report's end, the socket's end ──►  nursery
//!           ◄── the process id, or minus an errno ───────────
//! nursery   ── clone(CLONE_PARENT | namespaces) ──►  first process: a child of the caller's, which dies with its thread
//! ```
//!
//! Boxes that may make no sockets have the nursery's network namespace, which it makes once: to make one takes a quarter of
//! the time of a small stage, and without sockets nothing in it changes.
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
use crate::sys::check;
use crate::{Error, Guard, Result, lifted, sys};

/// Makes boxes that have in common what the last one had that it [started](crate::start_from); none before. It belongs to
/// the thread that uses it, and so do they.
#[derive(Debug, Default)]
pub struct Nursery(Option<Tended>);

/// The process, and what it was told.
#[derive(Debug)]
struct Tended {
    _first: First,
    common: Arc<Common>,
    socket: File,
    /// What was asked for and not taken yet, and of which kind.
    awaited: Option<(Ends, Kind)>,
}

/// Which network namespace a box is to have, as the byte that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    OwnNetwork = b'o',
    NoSockets = b'n',
}

impl Kind {
    fn of(needs_network: bool) -> Self {
        match needs_network {
            true => Self::OwnNetwork,
            false => Self::NoSockets,
        }
    }
}

impl Nursery {
    /// Whether it has started a box.
    pub fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// Has it begin a box like the last one it started, if none waits to be taken: for something that may make `sockets`, or
    /// for what may not.
    ///
    /// # Errors
    /// It has started none, or has ended.
    pub fn begin(&mut self, sockets: bool) -> Result<()> {
        let tended = (self.0.as_mut()).ok_or_else(|| Error::setup("asking for a box", Errno::SRCH))?;
        let filtered = tended.common.optional & Guard::Seccomp.bit() == 0;
        tended.begin(Kind::of(sockets || !filtered))
    }

    /// A box with this in common, in a network namespace of its own if it needs that: one that was begun, or one that is
    /// begun now. `None`: it ended while it was begun.
    ///
    /// # Errors
    /// No process can be made.
    pub(crate) fn take(&mut self, common: &Arc<Common>, needs_network: bool) -> Result<Option<Begun>> {
        let same = self.0.take_if(|tended| *tended.common == **common);
        let mut tended = same.map_or_else(|| Tended::new(Arc::clone(common)), Ok)?;
        let suits = |(_, kind): &(Ends, Kind)| *kind == Kind::OwnNetwork || !needs_network;
        if tended.awaited.as_ref().is_some_and(|awaited| !suits(awaited)) {
            drop(tended.take());
        }
        tended.begin(Kind::of(needs_network))?;
        let begun = tended.take();
        self.0 = Some(tended);
        Ok(begun)
    }
}

impl Tended {
    fn new(common: Arc<Common>) -> Result<Self> {
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

    fn begin(&mut self, kind: Kind) -> Result<()> {
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
            &[IoSlice::new(&[kind as u8])],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
        .map_err(|e| Error::setup("asking for a box", e))?;
        self.awaited = Some((ends, kind));
        Ok(())
    }

    /// The box that was begun. `None`: none was, or none could be.
    fn take(&mut self) -> Option<Begun> {
        let (ends, _) = self.awaited.take()?;
        let mut answer = [0; size_of::<i32>()];
        self.socket.read_exact(&mut answer).ok()?;
        let pid = i32::from_ne_bytes(answer);
        let first = (pid > 0).then(|| First::new(pid))?.ok()?;
        Some(Begun {
            first,
            common: Arc::clone(&self.common),
            report: ends.report,
            socket: ends.socket,
        })
    }
}

impl Drop for Tended {
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
        take_streams();
    }
    // SAFETY: it stays open for as long as the process lives.
    let control = unsafe { BorrowedFd::borrow_raw(socket) };
    let mut has_network = false;
    while let Some((kind, [report, told])) = receive(control) {
        if kind == Kind::NoSockets as u8 && !has_network {
            // SAFETY: a namespace flag.
            has_network =
                check(unsafe { libc::syscall(libc::SYS_unshare, lifted::namespaces(libc::CLONE_NEWNET)) })
                    .is_ok();
        }
        let own_network = kind == Kind::OwnNetwork as u8 || !has_network;
        let pid = match sys::clone_process(namespaces(own_network) | libc::CLONE_PARENT) {
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

/// Takes 0, 1 and 2, so that nothing of a box lies where its module gets its streams.
fn take_streams() {
    // SAFETY: makes a descriptor of our own, which stays open for as long as the process lives.
    let taken = || unsafe { libc::syscall(libc::SYS_eventfd2, 0, libc::EFD_CLOEXEC) };
    while (0..2).contains(&taken()) {}
}

/// The [`Kind`] of a box, and the two ends that it is to have; `None`: nobody asks any more.
fn receive(control: BorrowedFd<'_>) -> Option<(u8, [RawFd; 2])> {
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
    Some((byte[0], [report?.into_raw_fd(), told?.into_raw_fd()]))
}
