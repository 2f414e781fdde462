//! Pulling a commit from an archive repository: every object that is not there yet.

use std::collections::HashSet;
use std::io::Read;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ostree::object::Kind;
use ostree::parse::{Directory, LARGEST_METADATA, Root};
use ostree::{Archive, Checksum, Error};

use super::remote::Remote;
use crate::client::Fault;
use crate::download::Downloads;
use crate::pool::{Reporter, Stop};

/// A pull of one commit.
pub(super) struct Pull<'a> {
    pub(super) downloads: &'a Downloads,
    pub(super) archive: &'a Archive,
    pub(super) remote: &'a Remote,
    pub(super) stop: &'a Stop,
    pub(super) reporter: &'a Reporter<'a>,
}

/// An object to look after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Object {
    File(Checksum),
    Metadata(Kind, Checksum),
}

/// What is left to do, for several threads.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    todo: Vec<Object>,
    /// All there ever were.
    seen: HashSet<Object>,
    /// How many threads are at one.
    busy: usize,
    failure: Option<String>,
}

impl Pull<'_> {
    /// Whether the repository is one whose objects can be fetched as they are.
    pub(super) fn is_archive(&self) -> Result<bool, String> {
        let config = self
            .downloads
            .text(&self.remote.metadata("config"), self.reporter)?;
        let mode = config.lines().filter_map(|line| line.split_once('='));
        let mut mode = mode.filter(|(key, _)| key.trim() == "mode");
        Ok(mode.any(|(_, mode)| matches!(mode.trim(), "archive" | "archive-z2")))
    }

    /// Brings the commit and all it leads to, `jobs` objects at a time.
    pub(super) fn run(&self, commit: Checksum, jobs: usize) -> Result<(), String> {
        let bytes = self.metadata(Kind::Commit, commit)?;
        let root = Root::of_commit(&bytes).ok_or("it is malformed")?;
        let doubt = self.archive.begin(commit).map_err(|e| e.to_string())?;
        let queue = Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        queue.add([
            Object::Metadata(Kind::DirTree, root.tree),
            Object::Metadata(Kind::DirMeta, root.meta),
        ]);
        std::thread::scope(|scope| {
            for _ in 1..jobs {
                scope.spawn(|| self.work(&queue, doubt));
            }
            self.work(&queue, doubt);
        });
        if let Some(error) = queue.lock().failure.take() {
            return Err(error);
        }
        if self.stop.is_set() {
            return Err("interrupted".into());
        }
        self.archive.finish(commit, &bytes).map_err(|e| e.to_string())
    }

    fn work(&self, queue: &Queue, doubt: bool) {
        while let Some(object) = queue.next(self.stop) {
            let result = match object {
                Object::File(checksum) => self.file(checksum, doubt).map(|()| Vec::new()),
                Object::Metadata(kind, checksum) => self.directory(kind, checksum),
            };
            queue.done(result);
        }
    }

    fn file(&self, checksum: Checksum, doubt: bool) -> Result<(), String> {
        if self.archive.has_file(checksum) && (!doubt || self.archive.is_sound(checksum)) {
            return Ok(());
        }
        let location = self.remote.content(&path(checksum, "filez"));
        self.downloads.whole(&location, self.reporter, |from| {
            self.archive.add_file(checksum, from).map_err(|e| self.fault(e))
        })
    }

    /// Brings a dirtree or dirmeta; what it leads to.
    fn directory(&self, kind: Kind, checksum: Checksum) -> Result<Vec<Object>, String> {
        let bytes = match self.archive.metadata(kind, checksum) {
            Ok(bytes) => bytes,
            // it is not there, or damaged
            Err(_) => {
                let bytes = self.metadata(kind, checksum)?;
                let added = self.archive.add_metadata(kind, checksum, &bytes);
                added.map_err(|e| e.to_string())?;
                bytes
            }
        };
        if kind != Kind::DirTree {
            return Ok(Vec::new());
        }
        let directory = Directory::of_dirtree(&bytes)
            .ok_or_else(|| format!("the object {checksum}.dirtree is malformed"))?;
        let files = directory.files.iter().map(|(_, file)| Object::File(*file));
        let below = directory.directories.iter().flat_map(|(_, tree, meta)| {
            [
                Object::Metadata(Kind::DirMeta, *meta),
                Object::Metadata(Kind::DirTree, *tree),
            ]
        });
        Ok(files.chain(below).collect())
    }

    /// The bytes of a metadata object, which have its checksum.
    fn metadata(&self, kind: Kind, checksum: Checksum) -> Result<Vec<u8>, String> {
        let location = self.remote.metadata(&path(checksum, kind.extension()));
        let mut bytes = Vec::new();
        self.downloads.whole(&location, self.reporter, |from| {
            bytes.clear();
            let read = from.take(LARGEST_METADATA).read_to_end(&mut bytes);
            read.map_err(|e| self.downloads.broken(e))?;
            match Checksum::of(&bytes) {
                found if found == checksum => Ok(()),
                found => Err(Fault::Final(format!(
                    "wrong content: expected {checksum}, got {found}"
                ))),
            }
        })?;
        Ok(bytes)
    }

    fn fault(&self, error: Error) -> Fault {
        match error {
            Error::Transfer(error) => self.downloads.broken(error),
            Error::Checksum { .. } | Error::Malformed { .. } => Fault::Final(error.to_string()),
            other => Fault::Local(other.to_string()),
        }
    }
}

fn path(checksum: Checksum, extension: &str) -> String {
    let hex = checksum.to_string();
    format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..])
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, objects: impl IntoIterator<Item = Object>) {
        let state = &mut *self.lock();
        for object in objects {
            if state.seen.insert(object) {
                state.todo.push(object);
            }
        }
    }

    /// An object to work on; `None` when all is done, or none of it can be any more.
    fn next(&self, stop: &Stop) -> Option<Object> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() || stop.is_set() {
                return None;
            }
            if let Some(object) = state.todo.pop() {
                state.busy += 1;
                return Some(object);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What came of an object.
    fn done(&self, result: Result<Vec<Object>, String>) {
        match result {
            Ok(objects) => self.add(objects),
            Err(error) => {
                self.lock().failure.get_or_insert(error);
            }
        }
        self.lock().busy -= 1;
        self.changed.notify_all();
    }
}
