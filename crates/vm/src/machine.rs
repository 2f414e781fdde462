//! [`Machine`]: a virtual machine that runs.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use sandbox::Killer;

use crate::keeper::{self, Ask};
use crate::message::{self, Kind};
use crate::words;
use crate::{Agent, Error, Processor, Result};

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct Description {
    /// The layers of the tree whose kernel it runs, the topmost first.
    pub layers: Vec<PathBuf>,
    /// A directory of the host that it may change.
    pub writable: PathBuf,
    /// An empty directory for what is made for it; it must stay until the machine is gone.
    pub scratch: PathBuf,
    pub agent: Agent,
    pub processor: Processor,
}

/// A virtual machine. It is gone, with all that belongs to it, when this is.
#[derive(Debug)]
pub struct Machine {
    channel: UnixStream,
    killer: Killer,
    /// `None` once it is to end.
    asks: Option<Sender<Ask>>,
    keeper: Option<JoinHandle<()>>,
    scratch: PathBuf,
}

impl Machine {
    /// Starts it; see [`wait`](Self::wait).
    ///
    /// # Errors
    /// The tree has no kernel that can be used, or QEMU or virtiofsd is missing.
    pub fn start(description: Description) -> Result<Self> {
        let fail = |e: io::Error| Error::io("make", "the channel of the virtual machine", e);
        let (channel, theirs) = UnixStream::pair().map_err(fail)?;
        let (started, answer) = mpsc::channel();
        let (asks, asked) = mpsc::channel();
        let scratch = description.scratch.clone();
        let keep = move || keeper::keep(&description, OwnedFd::from(theirs), &started, &asked);
        let keeper = std::thread::Builder::new().spawn(keep).map_err(fail)?;
        // a keeper that ends without a word has panicked
        let killer = answer
            .recv()
            .unwrap_or_else(|_| Err(Error::Ended(String::new())))?;
        Ok(Self {
            channel,
            killer,
            asks: Some(asks),
            keeper: Some(keeper),
            scratch,
        })
    }

    /// Kills it from elsewhere.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Waits until its program is there.
    ///
    /// # Errors
    /// It ends before, or is not there within `limit`.
    pub fn wait(&self, limit: Duration) -> Result<()> {
        let set = |limit| self.channel.set_read_timeout(limit);
        let fail = |e| Error::io("read", "the channel of the virtual machine", e);
        set(Some(limit)).map_err(fail)?;
        let came = message::receive(&mut &self.channel);
        set(None).map_err(fail)?;
        match came {
            Ok(Some((Kind::Ready, _))) => Ok(()),
            Ok(Some((kind, _))) => Err(Error::Answer(format!("{kind:?}"))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::Silent {
                limit,
                last: self.last_words(),
            }),
            Ok(None) | Err(_) => Err(Error::Ended(self.last_words())),
        }
    }

    /// Shows mounts to it, which are attached nowhere else: their paths in it, in the same order. They are there until
    /// [`take_back`](Self::take_back).
    ///
    /// # Errors
    /// One cannot be attached.
    pub fn lend(&self, mounts: Vec<OwnedFd>) -> Result<Vec<PathBuf>> {
        self.ask(|answer| Ask::Lend(mounts, answer))
    }

    /// Takes all back that was lent.
    ///
    /// # Errors
    /// One cannot be let go of.
    pub fn take_back(&self) -> Result<()> {
        self.ask(Ask::TakeBack)
    }

    fn ask<T>(&self, ask: impl FnOnce(Sender<Result<T>>) -> Ask) -> Result<T> {
        let gone = || Error::Ended(String::new());
        let (answer, answered) = mpsc::channel();
        let asks = self.asks.as_ref().ok_or_else(gone)?;
        asks.send(ask(answer)).map_err(|_| gone())?;
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Sends a request and waits for the answer, handing on what is printed meanwhile.
    ///
    /// # Errors
    /// The machine ends before, with the last of what it printed.
    pub fn request(&self, request: &[u8], output: &mut dyn FnMut(&[u8])) -> Result<Vec<u8>> {
        let mut channel = &self.channel;
        let lost = |_: io::Error| Error::Ended(self.last_words());
        message::send(&mut channel, Kind::Request, request).map_err(lost)?;
        loop {
            match message::receive(&mut channel).map_err(lost)? {
                Some((Kind::Output, bytes)) => output(&bytes),
                Some((Kind::Answer, bytes)) => return Ok(bytes),
                Some((kind, _)) => return Err(Error::Answer(format!("{kind:?}"))),
                None => return Err(Error::Ended(self.last_words())),
            }
        }
    }

    /// Why it is lost, as far as anybody said so: the end of a message.
    fn last_words(&self) -> String {
        let lines = |name: &str| words::lines(&self.scratch.join(name));
        let [qemu, virtiofsd] = keeper::SAID.map(lines);
        words::reason(&lines(keeper::CONSOLE), &qemu, &virtiofsd)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}
