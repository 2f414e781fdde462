//! What a box that was begun is told: the steps that are its own, its module, and the descriptors for it.
//!
//! ```text
//! head   four numbers: bytes of the body, steps, arguments, variables; with it come the descriptors:
//!        what the module reads, where it writes, the control groups to join
//! body   the steps, the program, its arguments, its environment, one behind the other (postcard)
//! ```
//! It is read in a process that was cloned from one with threads: no allocation, no lock, no panic.
#![allow(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::steps::Step;
use crate::sys::Raw;
use crate::text::Text;

/// The most control groups that a box joins itself: there are no more controllers with limits.
pub(crate) const GROUPS: usize = 4;

/// The module's two, and the groups.
const DESCRIPTORS: usize = 2 + GROUPS;

/// Numbers of the head.
const HEAD: usize = 4;

/// A message about to be sent.
pub(crate) struct Message {
    head: [u32; HEAD],
    body: Vec<u8>,
}

/// What a program is executed with.
pub(crate) struct Texts<'a> {
    pub(crate) program: Text<'a>,
    pub(crate) args: Vec<Text<'a>>,
    pub(crate) env: Vec<Text<'a>>,
}

impl Message {
    pub(crate) fn new(steps: &[Step<'_>], texts: &Texts<'_>) -> Result<Self, postcard::Error> {
        let mut body = Vec::new();
        for step in steps {
            body = postcard::to_extend(step, body)?;
        }
        for text in std::iter::once(&texts.program)
            .chain(&texts.args)
            .chain(&texts.env)
        {
            body = postcard::to_extend(text, body)?;
        }
        let numbers = [body.len(), steps.len(), texts.args.len(), texts.env.len()];
        let mut head = [0; HEAD];
        for (slot, number) in head.iter_mut().zip(numbers) {
            *slot = u32::try_from(number).map_err(|_| postcard::Error::SerializeBufferFull)?;
        }
        Ok(Self { head, body })
    }

    /// Sends it. Whoever should read it may have ended.
    pub(crate) fn send(
        &self,
        socket: &OwnedFd,
        (stdin, output): (BorrowedFd<'_>, BorrowedFd<'_>),
        groups: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<_> = [stdin, output].iter().chain(groups).copied().collect();
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::TOOBIG);
        }
        let head: Vec<u8> = self.head.iter().flat_map(|number| number.to_ne_bytes()).collect();
        let slices = [IoSlice::new(&head), IoSlice::new(&self.body)];
        let sent = rustix::net::sendmsg(socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)?;
        let mut rest = self
            .body
            .get(sent.saturating_sub(head.len())..)
            .unwrap_or_default();
        while !rest.is_empty() {
            let sent = rustix::net::send(socket, rest, SendFlags::NOSIGNAL)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

/// A message that was read. It stays until the process executes a program or ends.
pub(crate) struct Order {
    body: &'static [u8],
    pub(crate) steps: usize,
    args: usize,
    env: usize,
    /// Room for a pointer to each argument and variable, and a null pointer behind both.
    pointers: &'static mut [*const libc::c_char],
    pub(crate) stdin: RawFd,
    pub(crate) output: RawFd,
    /// What takes the box into its control groups once `0` is written there.
    pub(crate) groups: [Option<RawFd>; GROUPS],
}

/// The program, its arguments and its environment, as execve(2) takes them.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) path: *const libc::c_char,
    pub(crate) argv: *const *const libc::c_char,
    pub(crate) envp: *const *const libc::c_char,
}

impl Order {
    /// Waits for a message; `None`: none will come.
    pub(crate) fn receive(socket: BorrowedFd<'_>) -> Raw<Option<Self>> {
        let mut bytes = [0; HEAD * size_of::<u32>()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let received = again(|| {
            let mut slices = [IoSliceMut::new(&mut bytes)];
            rustix::net::recvmsg(socket, &mut slices, &mut ancillary, flags)
        })?;
        if received.bytes != bytes.len() {
            return Ok(None);
        }
        let mut descriptors = [None; DESCRIPTORS];
        let mut slots = descriptors.iter_mut();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(all) = message {
                for (slot, fd) in slots.by_ref().zip(all) {
                    // the first three are the module's to be
                    let moved = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(Errno::raw_os_error)?;
                    *slot = Some(moved.into_raw_fd());
                }
            }
        }
        let [Some(stdin), Some(output), groups @ ..] = descriptors else {
            return Err(libc::EPROTO);
        };
        let (numbers, _) = bytes.as_chunks();
        let mut head = [0usize; HEAD];
        for (number, bytes) in head.iter_mut().zip(numbers) {
            *number = u32::from_ne_bytes(*bytes) as usize;
        }
        let [length, steps, args, env] = head;
        let (body, pointers) = memory(length, args + env + 2)?;
        let mut filled = 0;
        while filled < length {
            let room = body.get_mut(filled..).unwrap_or_default();
            match again(|| rustix::io::read(socket, &mut *room))? {
                0 => return Ok(None),
                count => filled += count,
            }
        }
        Ok(Some(Self {
            body,
            steps,
            args,
            env,
            pointers,
            stdin,
            output,
            groups,
        }))
    }

    /// The next step.
    pub(crate) fn step(&mut self) -> Raw<Step<'static>> {
        self.take()
    }

    /// What is to be executed: behind the last step.
    pub(crate) fn program(&mut self) -> Raw<Program> {
        let path: Text<'static> = self.take()?;
        let null = std::ptr::null();
        let mut place = 0;
        for count in [self.args, self.env] {
            for _ in 0..count {
                let text: Text<'static> = self.take()?;
                *self.pointers.get_mut(place).ok_or(libc::EPROTO)? = borrowed(&text);
                place += 1;
            }
            *self.pointers.get_mut(place).ok_or(libc::EPROTO)? = null;
            place += 1;
        }
        let envp = self.pointers.get(self.args + 1).ok_or(libc::EPROTO)?;
        Ok(Program {
            path: borrowed(&path),
            argv: self.pointers.as_ptr(),
            envp: std::ptr::from_ref(envp),
        })
    }

    fn take<T: serde::Deserialize<'static>>(&mut self) -> Raw<T> {
        let (value, rest) = postcard::take_from_bytes(self.body).map_err(|_| libc::EPROTO)?;
        self.body = rest;
        Ok(value)
    }
}

/// Where the text is: in the message, which stays.
fn borrowed(text: &Text<'static>) -> *const libc::c_char {
    text.as_ptr()
}

/// Fresh memory of the process's own: for so many bytes, and so many pointers.
fn memory(bytes: usize, pointers: usize) -> Raw<(&'static mut [u8], &'static mut [*const libc::c_char])> {
    let start = bytes.next_multiple_of(align_of::<*const libc::c_char>());
    let length = pointers
        .checked_mul(size_of::<*const libc::c_char>())
        .and_then(|length| length.checked_add(start))
        .ok_or(libc::ENOMEM)?;
    // SAFETY: the address is the kernel's choice; nobody else knows of it, and it is never unmapped. Zeros are null pointers,
    // and the second part is aligned and begins behind the first.
    unsafe {
        let address = mmap_anonymous(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
        .map_err(Errno::raw_os_error)?;
        let texts = std::slice::from_raw_parts_mut(address.cast::<u8>(), bytes);
        let table = address.cast::<u8>().add(start).cast();
        Ok((texts, std::slice::from_raw_parts_mut(table, pointers)))
    }
}

fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Raw<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(Errno::raw_os_error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::fs::File;
    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap()
    }

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        let steps = [
            Step::Detach,
            Step::Mkdir {
                path: c"/somewhere".into(),
                mode: 0o1777,
            },
            Step::Write {
                path: c"/file".into(),
                // more than a socket holds at a time
                content: vec![7; 3 << 20].into(),
            },
            Step::Capabilities { mask: u64::MAX },
            Step::Filter { sockets: true },
        ];
        let texts = Texts {
            program: c"/bin/sh".into(),
            args: vec![c"sh".into(), c"-c".into(), c"".into()],
            env: vec![c"A=b".into()],
        };
        let (here, there) = pair();
        let null = File::open("/dev/null").unwrap();
        let sender = std::thread::spawn({
            let message = Message::new(&steps, &texts).unwrap();
            move || {
                message
                    .send(&here, (null.as_fd(), null.as_fd()), &[null.as_fd()])
                    .unwrap()
            }
        });
        let mut order = Order::receive(there.as_fd()).unwrap().unwrap();
        sender.join().unwrap();
        assert_eq!(order.steps, steps.len());
        for step in &steps {
            assert_eq!(order.step().unwrap(), *step);
        }
        let program = order.program().unwrap();
        let list = |mut at: *const *const libc::c_char| {
            let mut all = Vec::new();
            // SAFETY: a list of texts that ends with a null pointer.
            unsafe {
                while !(*at).is_null() {
                    all.push(CStr::from_ptr(*at).to_owned());
                    at = at.add(1);
                }
            }
            all
        };
        // SAFETY: a text of the message.
        assert_eq!(unsafe { CStr::from_ptr(program.path) }, c"/bin/sh");
        assert_eq!(list(program.argv), [c"sh", c"-c", c""].map(CStr::to_owned));
        assert_eq!(list(program.envp), [c"A=b".to_owned()]);
        assert_eq!(order.groups.iter().flatten().count(), 1);
        assert!(order.stdin != order.output && order.stdin > 2);
    }

    #[test]
    fn whoever_waits_learns_that_nobody_is_left_to_send() {
        let (here, there) = pair();
        drop(here);
        assert!(Order::receive(there.as_fd()).unwrap().is_none());
    }
}
