//! The descriptor a monitor writes to: somebody else's, used as it is.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// An open descriptor of the caller. A reader that has gone away is no error: what follows is dropped.
#[derive(Debug)]
pub(crate) struct Out {
    fd: BorrowedFd<'static>,
    gone: AtomicBool,
}

impl Out {
    /// Takes the descriptor `fd`; `None`: it is not open. To be called before anything else is opened, which could get
    /// the same number.
    ///
    /// No child inherits it: readers wait for the end of all writers.
    pub(crate) fn open(fd: RawFd) -> Option<Self> {
        if fd < 0 {
            return None;
        }
        // SAFETY: nobody in this process closes a descriptor that it was started with; whether it is one is asked next.
        #[allow(unsafe_code)]
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let flags = fcntl_getfd(fd).ok()?;
        // the standard streams are replaced in children, one by one
        if !rustix_std(fd) {
            fcntl_setfd(fd, flags | FdFlags::CLOEXEC).ok()?;
        }
        Some(Self {
            fd,
            gone: AtomicBool::new(false),
        })
    }

    /// Whether it is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        std::io::IsTerminal::is_terminal(&self.fd)
    }

    /// Writes all of `text`.
    pub(crate) fn write(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() && !self.gone.load(Ordering::Relaxed) {
            match rustix::io::write(self.fd, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(self.fd, PollFlags::OUT)], None);
                }
                Err(_) => self.gone.store(true, Ordering::Relaxed),
            }
        }
    }
}

fn rustix_std(fd: BorrowedFd<'_>) -> bool {
    std::os::fd::AsRawFd::as_raw_fd(&fd) <= 2
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::{IntoRawFd, RawFd};

    use super::*;

    /// A file without a name to write to.
    pub(crate) fn memory() -> (Out, RawFd) {
        let fd = rustix::fs::memfd_create("out", rustix::fs::MemfdFlags::empty()).unwrap();
        let fd = fd.into_raw_fd();
        (Out::open(fd).unwrap(), fd)
    }

    /// What was written to it.
    pub(crate) fn written(fd: RawFd) -> String {
        std::fs::read_to_string(format!("/proc/self/fd/{fd}")).unwrap()
    }

    #[test]
    fn no_child_inherits_it() {
        let (out, _) = memory();
        assert!(fcntl_getfd(out.fd).unwrap().contains(FdFlags::CLOEXEC));
        assert!(Out::open(-1).is_none() && Out::open(99_999).is_none());
    }

    #[test]
    fn a_reader_may_go_away() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let out = Out::open(write.into_raw_fd()).unwrap();
        drop(read);
        out.write("nobody reads this");
        out.write("nor this");
    }
}
