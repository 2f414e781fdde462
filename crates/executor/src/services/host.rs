//! The host services of a stage: started at once, asked one after another, stopped in reverse.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

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
    limits: Limits,
}

/// How long services may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// When the time of the stage, its services included, is over.
    pub(crate) deadline: Option<Instant>,
    /// To clean up, once the build is interrupted.
    grace: Duration,
    /// To clean up, once the time is over, and for one that has not answered by then.
    late: Duration,
    /// To clean up, once the build is interrupted, for one that has not answered: those of the Python osbuild ignore signals,
    /// and one that hangs does not see that nobody waits for it any more.
    unheard: Duration,
    /// To clean up otherwise: none that works takes as long.
    patience: Duration,
    /// To be stopped, as by a signal, while it is asked something.
    stopped: Duration,
}

impl Limits {
    /// Those of a stage's services. A device's waits 30 s for its device to be free; what unmounts writes out all that
    /// was written.
    pub(crate) fn of_stage(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            grace: Duration::from_secs(40),
            late: Duration::from_secs(10),
            unheard: Duration::from_secs(3),
            patience: Duration::from_secs(600),
            stopped: Duration::from_secs(5),
        }
    }

    /// Those of services that hold nothing that must be given back.
    pub(crate) fn of_source() -> Self {
        Self {
            grace: TICK,
            late: TICK,
            patience: Duration::from_secs(10),
            ..Self::of_stage(None)
        }
    }

    /// Whether the time is over.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
    }
}

impl<'a> Host<'a> {
    pub(crate) fn new(
        whose: &'a str,
        cancel: &'a Cancel,
        tell: &'a (dyn Fn(&str) + Sync),
        limits: Limits,
    ) -> Self {
        Self {
            whose,
            services: Vec::new(),
            cancel,
            tell,
            limits,
        }
    }

    /// Starts `executable` as the service `id`, which runs until all are stopped: its number, to [`ask`](Self::ask) it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        &mut self,
        id: String,
        (executable, python_path): (&Path, Option<&Path>),
    ) -> Result<usize> {
        self.services.push(Service::start(id, executable, python_path)?);
        Ok(self.services.len() - 1)
    }

    /// Calls a method of a service.
    ///
    /// # Errors
    /// It breaks the protocol, raises an exception, or is stopped; the build is interrupted, or the time over.
    pub(crate) fn ask(
        &mut self,
        number: usize,
        method: &str,
        args: &Value,
        beside: &mut dyn Beside,
    ) -> Result<Value> {
        self.answer(number, method, args, beside).map_err(|e| {
            // one that hangs in a call hardly cleans up
            let grace = match e {
                CallError::Cancelled => self.limits.unheard,
                _ => self.limits.late,
            };
            self.limits.grace = self.limits.grace.min(grace);
            let service = self.services.get(number);
            match e {
                CallError::Cancelled => Error::Cancelled,
                CallError::OverTime => {
                    let name = service.map(Service::name).unwrap_or_default();
                    Error::OverTime(format!("{name} has not answered"))
                }
                CallError::Failed(message) => {
                    let id = service.map(|service| service.id.clone()).unwrap_or_default();
                    self.failed(&id, &message)
                }
            }
        })
    }

    fn answer(
        &mut self,
        at: usize,
        method: &str,
        args: &Value,
        beside: &mut dyn Beside,
    ) -> std::result::Result<Value, CallError> {
        let failed = |text: &str| CallError::Failed(text.to_owned());
        let io = |e: std::io::Error| CallError::Failed(format!("it cannot be talked to: {e}"));
        let socket = self.services.get(at).and_then(Service::socket);
        let socket = socket.ok_or_else(|| failed("it has stopped"))?;
        // one that has ended already is told apart below, where its last words are read
        let sent = packet::send(socket, &message::call(method, args), &[]);
        let mut last_at_work = Instant::now();
        loop {
            if self.cancel.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            if self.limits.is_over() {
                return Err(CallError::OverTime);
            }
            if !self.services[at].is_stopped() {
                last_at_work = Instant::now();
            } else if last_at_work.elapsed() > self.limits.stopped {
                return Err(failed("it was stopped, by a signal or as it asked the terminal"));
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
    ///
    /// # Errors
    /// One did not end and was killed: whether it has cleaned up nobody knows.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut killed = None;
        while let Some(service) = self.services.pop() {
            let (id, name) = (service.id.clone(), service.name());
            if !self.stop_one(service) {
                killed = Some((id, name));
            }
        }
        match killed {
            None => Ok(()),
            Some(_) if self.cancel.is_cancelled() => Err(Error::Cancelled),
            Some((_, name)) if self.limits.is_over() => {
                Err(Error::OverTime(format!("{name} has not ended and was killed")))
            }
            Some((id, _)) => Err(self.failed(&id, "it has not ended when it was told to, and was killed")),
        }
    }

    fn stop_one(&self, service: Service) -> bool {
        let begun = Instant::now();
        let Limits {
            deadline,
            grace,
            late,
            patience,
            ..
        } = self.limits;
        let over_time = deadline.map(|deadline| deadline.max(begun) + late);
        let mut interrupted = None;
        let mut until = || {
            if self.cancel.is_cancelled() {
                interrupted = interrupted.or(Some(Instant::now() + grace));
            }
            let all = [interrupted, over_time, Some(begun + patience)];
            all.into_iter().flatten().min()
        };
        service.stop(&mut until, self.tell)
    }

    fn failed(&self, id: &str, message: &str) -> Error {
        Error::Unbuildable {
            stage: self.whose.to_owned(),
            message: format!("{id}: {message}"),
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
        // who drops it unstopped has an error of more interest
        let _ = self.stop();
    }
}

enum CallError {
    Cancelled,
    OverTime,
    Failed(String),
}
