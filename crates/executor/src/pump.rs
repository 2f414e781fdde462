//! Waiting for a box: its output is handed on, and those beside it are served.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::services::Beside;

/// To hand something on takes less, unless that waits for others. Who prints without end must not live longer by it.
const WAITED: Duration = Duration::from_millis(10);

/// Hands on what comes out of `read` until nothing can come any more, and serves those `beside`. `take` may wait for
/// others: how long it waited in all, by which the deadline is later. `None`: that passed first.
pub(crate) fn pump(
    read: OwnedFd,
    deadline: Option<Instant>,
    beside: &mut [&mut dyn Beside],
    mut take: impl FnMut(&[u8]),
) -> Option<Duration> {
    let mut taking = Duration::ZERO;
    // not zeroed: most print little, and each page that is touched costs
    let mut buffer: Vec<u8> = Vec::with_capacity(64 << 10);
    loop {
        let deadline = deadline.and_then(|at| at.checked_add(taking));
        if !wait_until(read.as_fd(), deadline, beside) {
            return None;
        }
        buffer.clear();
        match rustix::io::read(&read, spare_capacity(&mut buffer)) {
            Ok(0) => return Some(taking),
            Ok(_) => {
                let begun = Instant::now();
                take(&buffer);
                taking += Some(begun.elapsed())
                    .filter(|took| *took > WAITED)
                    .unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(_) => return Some(taking),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_telling_takes_does_not_count() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"one").unwrap();
        let deadline = Instant::now() + Duration::from_secs(1);
        let (mut write, mut told) = (Some(write), Vec::new());
        let took = pump(read, Some(deadline), &mut [], |bytes| {
            told.push(bytes.to_vec());
            while Instant::now() <= deadline {
                std::thread::yield_now();
            }
            // the end comes after the second piece
            if let Some(write) = write.take_if(|_| told.len() == 1) {
                rustix::io::write(&write, b"two").unwrap();
            }
        });
        assert_eq!(told, [b"one", b"two"]);
        assert!(took.is_some());
    }
}
