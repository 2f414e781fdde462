//! Waiting for a box: its output is handed on, and those beside it are served.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::services::Beside;

/// Hands on what comes out of `read` until nothing can come any more, and serves those `beside`. False: the deadline
/// passed first.
pub(crate) fn pump(
    read: OwnedFd,
    deadline: Option<Instant>,
    beside: &mut [&mut dyn Beside],
    mut take: impl FnMut(&[u8]),
) -> bool {
    // not zeroed: most print little, and each page that is touched costs
    let mut buffer: Vec<u8> = Vec::with_capacity(64 << 10);
    loop {
        if !wait_until(read.as_fd(), deadline, beside) {
            return false;
        }
        buffer.clear();
        match rustix::io::read(&read, spare_capacity(&mut buffer)) {
            Ok(0) => return true,
            Ok(_) => take(&buffer),
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Waits until `fd` is ready, and serves those `beside`. False: the deadline passed first.
pub(crate) fn wait_until(
    fd: BorrowedFd<'_>,
    deadline: Option<Instant>,
    beside: &mut [&mut dyn Beside],
) -> bool {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return false;
        }
        let timeout = left.and_then(|left| left.try_into().ok());
        let ready = {
            let mut list = vec![fd];
            for other in beside.iter() {
                other.fds(&mut list);
            }
            let mut fds: Vec<PollFd<'_>> = list
                .into_iter()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => !fds[0].revents().is_empty(),
                Err(rustix::io::Errno::INTR) => false,
                Err(_) => true,
            }
        };
        for other in beside.iter_mut() {
            other.serve();
        }
        if ready {
            return true;
        }
    }
}
