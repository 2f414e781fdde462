//! The host services of a stage: started one after another, stopped in reverse.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::message::{self, Answer};
use super::packet;
use super::service::{Service, TICK};
use crate::{Cancel, Error, Result};

/// Somebody served while we wait for an answer.
pub(crate) trait Beside {
    fn fds<'a>(&'a self, list: &mut Vec<BorrowedFd<'a>>);
    /// Does all that is to be done now, and never waits.
    fn serve(&mut self);
}

/// Nobody.
impl Beside for () {
    fn fds<'a>(&'a self, _: &mut Vec<BorrowedFd<'a>>) {}
    fn serve(&mut self) {}
}

/// All services of a stage, or of a source.
pub(crate) struct Host<'a> {
    /// For messages.
    whose: &'a str,
    services: Vec<Service>,
    cancel: &'a Cancel,
    /// Gets what they print, line by line.
    tell: &'a (dyn Fn(&str) + Sync),
    /// How long a service may take to clean up once the build is interrupted.
    grace: Duration,
}

/// A device's service waits 30 s for its device to be free.
const GRACE: Duration = Duration::from_secs(40);

impl<'a> Host<'a> {
    pub(crate) fn new(whose: &'a str, cancel: &'a Cancel, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            whose,
            services: Vec::new(),
            cancel,
            tell,
            grace: GRACE,
        }
    }

    /// For services that hold nothing that must be given back.
    #[must_use]
    pub(crate) fn holding_nothing(mut self) -> Self {
        self.grace = TICK;
        self
    }

    /// Starts `executable` as the service `id` and calls a method of it. It runs until all are stopped.
    ///
    /// # Errors
    /// It cannot be started, breaks the protocol, or raises an exception; the build is interrupted.
    pub(crate) fn call(
        &mut self,
        id: String,
        (executable, python_path): (&Path, Option<&Path>),
        (method, args): (&str, &Value),
        beside: &mut dyn Beside,
    ) -> Result<Value> {
        let service = Service::start(id.clone(), executable, python_path)?;
        self.services.push(service);
        self.last_call(method, args, beside).map_err(|e| match e {
            CallError::Cancelled => Error::Cancelled,
            CallError::Failed(message) => Error::Unbuildable {
                stage: self.whose.to_owned(),
                message: format!("{id}: {message}"),
            },
        })
    }

    fn last_call(
        &mut self,
        method: &str,
        args: &Value,
        beside: &mut dyn Beside,
    ) -> std::result::Result<Value, CallError> {
        let failed = |text: &str| CallError::Failed(text.to_owned());
        let io = |e: std::io::Error| CallError::Failed(format!("it cannot be talked to: {e}"));
        let at = self
            .services
            .len()
            .checked_sub(1)
            .ok_or_else(|| failed("it is not there"))?;
        let socket = self.services[at]
            .socket()
            .ok_or_else(|| failed("it has stopped"))?;
        // one that has ended already is told apart below, where its last words are read
        let sent = packet::send(socket, &message::call(method, args), &[]);
        loop {
            if self.cancel.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            let ready = {
                let socket = self.services[at]
                    .socket()
                    .ok_or_else(|| failed("it has stopped"))?;
                let mut list = vec![socket];
                self.logs(&mut list);
                beside.fds(&mut list);
                let mut fds: Vec<PollFd<'_>> = list
                    .into_iter()
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                    .collect();
                let tick = TICK.try_into().ok();
                let _ = poll(&mut fds, tick.as_ref());
                !fds[0].revents().is_empty()
            };
            self.read_logs();
            beside.serve();
            if !ready {
                continue;
            }
            let socket = self.services[at]
                .socket()
                .ok_or_else(|| failed("it has stopped"))?;
            let packet = packet::receive(socket).map_err(io)?;
            let Some(packet) = packet else {
                return Err(sent
                    .err()
                    .map_or_else(|| failed("it ended without an answer"), io));
            };
            match message::answer(&packet.value).map_err(CallError::Failed)? {
                Answer::Signal => {}
                Answer::Reply(reply) => return Ok(reply),
                Answer::Exception(text) => return Err(CallError::Failed(text)),
            }
        }
    }

    fn logs<'b>(&'b self, list: &mut Vec<BorrowedFd<'b>>) {
        list.extend(self.services.iter().filter(|s| s.prints()).map(Service::log));
    }

    fn read_logs(&mut self) {
        for service in &mut self.services {
            service.read_log(self.tell);
        }
    }

    /// Stops them all, the last one first.
    pub(crate) fn stop(&mut self) {
        while let Some(service) = self.services.pop() {
            service.stop(self.cancel, self.grace, self.tell);
        }
    }
}

impl Beside for Host<'_> {
    fn fds<'a>(&'a self, list: &mut Vec<BorrowedFd<'a>>) {
        self.logs(list);
    }

    fn serve(&mut self) {
        self.read_logs();
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

enum CallError {
    Cancelled,
    Failed(String),
}
