//! One item: several places it may be had from, several tries, and what has come so far.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::attempts::{Attempts, Location};
use crate::client::{Client, Fault};
use crate::content::{Content, Partial};
use crate::digest::Checksum;
use crate::pool::{Reporter, Stop};
use crate::settling::Settling;

/// The largest list of mirrors that is read.
const MAX_TEXT: u64 = 16 << 20;

/// A file that comes in more pieces than this is given up.
const MAX_ROUNDS: u32 = 100;

thread_local! {
    /// What came last. To have memory for each file would cost more than some of them.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What the downloads of one call share.
pub(crate) struct Downloads {
    client: Client,
    content: Content,
    stop: Stop,
    hosts: Mutex<BTreeMap<String, Host>>,
    /// What makes every further download useless, such as a full disk.
    broken: Arc<Mutex<Option<String>>>,
    settling: Settling,
}

/// What is known of a host.
enum Host {
    Reached,
    /// It was not reached, with the message: nobody else waits for it.
    Dead(String),
}

impl Downloads {
    pub(crate) fn new(client: Client, content: Content, stop: Stop) -> Self {
        Self {
            client,
            content,
            stop,
            hosts: Mutex::default(),
            broken: Arc::default(),
            settling: Settling::default(),
        }
    }

    /// Ends what is under way in all threads.
    pub(crate) fn shutdown(&self) {
        self.client.shutdown();
    }

    /// Brings the file with this checksum, from the first location that gives it whole. In the store it is when
    /// [`Self::settle`] says so.
    pub(crate) fn file(
        &self,
        checksum: &Checksum,
        locations: &[Location],
        reporter: &Reporter<'_>,
    ) -> Result<(), String> {
        if let Some(error) = &*lock(&self.broken) {
            return Err(format!("{checksum} was not fetched: {error}"));
        }
        let _span = trace::span("download").with("item", checksum.name());
        let partial = self.content.partial(checksum, &self.stop);
        let Some(mut partial) = partial.map_err(|e| self.local(checksum, e))? else {
            self.settling.is_there(checksum);
            return Ok(());
        };
        // killed just before it was let in
        let complete = partial.len() > 0 && partial.verify().is_ok();
        if !complete {
            let mut best = partial.len();
            self.rounds(locations, reporter, |location| {
                let result = self.transfer(location, &mut partial, reporter);
                let progress = partial.len() > best;
                best = best.max(partial.len());
                result.map_err(|fault| (fault, progress))
            })?;
        }
        partial.flush().map_err(|e| self.local(checksum, e))?;
        let broken = Arc::clone(&self.broken);
        self.settling.add(partial, move |error| {
            lock(&broken).get_or_insert_with(|| error.to_owned());
        });
        Ok(())
    }

    /// The files that have come into the store since this was asked last.
    pub(crate) fn entered(&self) -> Vec<Checksum> {
        self.settling.entered()
    }

    /// Waits until what was brought is in the store, or it is known why it cannot be: what came of each file, given what
    /// [`Self::file`] said. When `cancelled` is set it does not wait.
    pub(crate) fn settle<'a>(
        &self,
        files: impl Iterator<Item = (&'a Checksum, Result<(), String>)>,
        cancelled: &AtomicBool,
    ) -> Vec<Result<(), String>> {
        let settled = self.settling.wait(cancelled);
        let result = |checksum: &Checksum| match settled.get(checksum) {
            Some(Err(error)) => Err(format!("cannot fetch {checksum}: {error}")),
            Some(Ok(())) => Ok(()),
            None => Err("interrupted".into()),
        };
        files
            .map(|(checksum, brought)| brought.and_then(|()| result(checksum)))
            .collect()
    }

    /// Reads a small text, such as a list of mirrors.
    pub(crate) fn text(&self, location: &Location, reporter: &Reporter<'_>) -> Result<String, String> {
        let mut bytes = Vec::new();
        self.whole(location, reporter, |body| {
            bytes.clear();
            let read = body.take(MAX_TEXT).read_to_end(&mut bytes);
            read.map(drop).map_err(|e| self.client.broken(e))
        })?;
        String::from_utf8(bytes).map_err(|_| format!("{} is not a text", location.shown()))
    }

    /// Gives `receive` all that a location has, from its beginning; again, when it ends with a passing fault.
    pub(crate) fn whole(
        &self,
        location: &Location,
        reporter: &Reporter<'_>,
        mut receive: impl FnMut(&mut dyn Read) -> Result<(), Fault>,
    ) -> Result<(), String> {
        if let Some(error) = &*lock(&self.broken) {
            return Err(format!("{} was not fetched: {error}", location.shown()));
        }
        self.rounds(std::slice::from_ref(location), reporter, |location| {
            let answer = self.client.get(&location.url, &location.access, 0);
            let mut counting = Counting {
                body: answer.map_err(|fault| (fault, false))?.body,
                reporter,
                stop: &self.stop,
            };
            receive(&mut counting).map_err(|fault| (fault, false))
        })
    }

    /// What an error while something comes means.
    pub(crate) fn broken(&self, error: std::io::Error) -> Fault {
        self.client.broken(error)
    }

    /// Tries each location in turn, again and again, until one `try_one` succeeds or none is left. An error of that
    /// one comes with whether there is more of the item than ever before.
    fn rounds(
        &self,
        locations: &[Location],
        reporter: &Reporter<'_>,
        mut try_one: impl FnMut(&Location) -> Result<(), (Fault, bool)>,
    ) -> Result<(), String> {
        let limits = &self.client.machine().limits;
        let mut attempts = Attempts::new(locations);
        let mut pauses = limits.pauses.iter();
        for _ in 0..MAX_ROUNDS {
            let mut any_progress = false;
            for attempt in attempts.left() {
                let location = attempt.location;
                if let Some(error) = self.dead(location) {
                    attempt.failed(Fault::Final(error), false, limits.unreachable);
                    continue;
                }
                attempt.begins();
                let (fault, progress) = match try_one(location) {
                    Ok(()) => return Ok(()),
                    Err((Fault::Stopped, _)) => return Err("interrupted".into()),
                    Err((Fault::Local(error), _)) => return Err(self.local(&location.shown(), error)),
                    Err(other) => other,
                };
                if !matches!(fault, Fault::Unreachable(_)) {
                    lock(&self.hosts).insert(location.host().to_owned(), Host::Reached);
                }
                any_progress |= progress;
                attempt.failed(fault, progress, limits.unreachable);
            }
            if any_progress {
                pauses = limits.pauses.iter();
            }
            if attempts.left().next().is_none() {
                break;
            }
            let Some(pause) = pauses.next() else { break };
            reporter.retry(format!("{}; trying again", attempts.error()));
            self.stop.pause(*pause);
            if self.stop.is_set() {
                return Err("interrupted".into());
            }
        }
        for (location, error) in attempts.unreachable() {
            let mut hosts = lock(&self.hosts);
            hosts
                .entry(location.host().to_owned())
                .or_insert_with(|| Host::Dead(error.to_owned()));
        }
        Err(attempts.error())
    }

    /// One try at one location, going on from what is there.
    fn transfer(
        &self,
        location: &Location,
        partial: &mut Partial,
        reporter: &Reporter<'_>,
    ) -> Result<(), Fault> {
        let mut resumed = partial.len() > 0;
        loop {
            match self.receive(location, partial, reporter, &mut resumed) {
                Err(Fault::Range) if resumed => {}
                Err(fault) => return Err(fault),
                Ok(()) => match partial.verify() {
                    Ok(()) => return Ok(()),
                    Err(_) if resumed => {}
                    Err(found) => {
                        partial.reset().map_err(Fault::Local)?;
                        let wanted = partial.checksum();
                        return Err(Fault::Final(format!(
                            "wrong content: expected {wanted}, got {found}"
                        )));
                    }
                },
            }
            // what was left of another try does not go with this one
            partial.reset().map_err(Fault::Local)?;
            resumed = false;
        }
    }

    /// Appends what the location has to what is there; `resumed` is cleared when it starts from nothing instead.
    fn receive(
        &self,
        location: &Location,
        partial: &mut Partial,
        reporter: &Reporter<'_>,
        resumed: &mut bool,
    ) -> Result<(), Fault> {
        let answer = self.client.get(&location.url, &location.access, partial.len())?;
        if answer.start != partial.len() {
            partial.reset().map_err(Fault::Local)?;
            *resumed = false;
        }
        let mut body = answer.body;
        let mut buffer = BUFFER.take();
        buffer.resize(64 << 10, 0);
        let received = self.append(&mut body, partial, reporter, &mut buffer);
        BUFFER.set(buffer);
        received
    }

    /// Appends what comes, to its end.
    fn append(
        &self,
        body: &mut dyn Read,
        partial: &mut Partial,
        reporter: &Reporter<'_>,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let mut pace = Pace::new(self.client.machine().limits.stall);
        loop {
            if self.stop.is_set() {
                return Err(Fault::Stopped);
            }
            match body.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    partial.write(&buffer[..n]).map_err(Fault::Local)?;
                    reporter.bytes(n as u64);
                    pace.came(n).map_err(Fault::Final)?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.client.broken(e)),
            }
        }
    }

    /// This machine's own trouble ends everything.
    fn local(&self, what: &dyn Display, error: String) -> String {
        if self.stop.is_set() {
            return "interrupted".into();
        }
        lock(&self.broken).get_or_insert_with(|| error.clone());
        format!("cannot fetch {what}: {error}")
    }

    fn dead(&self, location: &Location) -> Option<String> {
        match lock(&self.hosts).get(location.host()) {
            Some(Host::Dead(error)) => Some(error.clone()),
            _ => None,
        }
    }
}

/// Tells how much has come, and ends when it is to.
struct Counting<'a> {
    body: Box<dyn Read + Send>,
    reporter: &'a Reporter<'a>,
    stop: &'a Stop,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_set() {
            return Err(std::io::Error::other("interrupted"));
        }
        let length = self.body.read(buffer)?;
        self.reporter.bytes(length as u64);
        Ok(length)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that sends, but so slowly that it could hold a build up for good, is none. The least is curl's with the Python
/// osbuild's options.
struct Pace {
    /// How long a server may be too slow.
    patience: Duration,
    since: Instant,
    bytes: usize,
}

impl Pace {
    /// Bytes a second.
    const LEAST: usize = 1000;

    fn new(patience: Duration) -> Self {
        Self {
            patience,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Counts what came. The error says that it was too little.
    fn came(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        let elapsed = self.since.elapsed();
        if elapsed < self.patience {
            return Ok(());
        }
        if self.bytes < Self::LEAST * self.patience.as_secs() as usize && !fault::lifted!("pace") {
            return Err(format!(
                "less than {} bytes a second came for {:?}",
                Self::LEAST,
                self.patience
            ));
        }
        *self = Self::new(self.patience);
        Ok(())
    }
}
