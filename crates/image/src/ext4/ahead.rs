//! A tree, read ahead: one thread walks it and reads the small files while the other one lays out what came before.
//!
//! What comes is what a walk comes by, in its order: what is made of it does not depend on the threads.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use rustix::fs::IFlags;
use tree::walk;
use tree::{Kind, Stat, Tree};

use crate::{Error, Result};

/// Bytes of a file from which on it is left to who lays it out, and those passed on at once.
const SMALL: u64 = 256 << 10;
const BATCH: usize = 512 << 10;
/// Entries passed on at once: some of them are open files.
const ENTRIES: usize = 64;
/// Batches on their way. They come back, since fresh memory costs more than what is done with it.
const BATCHES: usize = 3;

/// An entry of the tree.
#[derive(Debug)]
pub struct Entry {
    /// Relative to the tree; empty for the root.
    pub path: PathBuf,
    pub name: OsString,
    pub stat: Stat,
    /// With [the flags that are kept](tree::flags).
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub flags: IFlags,
    pub body: Body,
}

/// What an entry holds.
#[derive(Debug)]
pub enum Body {
    /// It has no content, or has come before, by another name.
    None,
    Link(PathBuf),
    /// In the batch.
    Small(Range<usize>),
    Large(File),
}

/// Entries one after the other.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// The thread that walks.
#[derive(Debug)]
pub struct Ahead<'scope> {
    batches: Receiver<Batch>,
    empty: SyncSender<Batch>,
    walking: ScopedJoinHandle<'scope, tree::Result<()>>,
}

impl<'scope> Ahead<'scope> {
    /// Begins to walk `tree`.
    pub fn begin(tree: &'scope Tree, scope: &'scope Scope<'scope, '_>) -> Result<Self> {
        let (full, batches) = sync_channel(BATCHES);
        let (empty, returned) = sync_channel(BATCHES);
        for _ in 0..BATCHES {
            empty.send(Batch::default()).ok();
        }
        let mut reading = Reading {
            batch: Batch::default(),
            full,
            returned,
            linked: HashSet::new(),
        };
        let walk = move || {
            walk::walk(tree, &mut |entry| reading.enter(entry))?;
            // who does not listen any more knows why
            reading.pass_on().or(Ok(()))
        };
        let walking = Builder::new().name("read ahead".into()).spawn_scoped(scope, walk);
        Ok(Self {
            batches,
            empty,
            walking: walking.map_err(Error::io("start a thread"))?,
        })
    }

    /// Calls `visit` with each entry, and the bytes that a small file's are among.
    pub fn each(self, mut visit: impl FnMut(&Entry, &[u8]) -> Result<()>) -> Result<()> {
        for mut batch in self.batches {
            for entry in batch.entries.drain(..) {
                visit(&entry, &batch.bytes)?;
            }
            self.empty.send(batch).ok();
        }
        match self.walking.join() {
            Ok(walked) => Ok(walked?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What the thread has.
struct Reading {
    batch: Batch,
    full: SyncSender<Batch>,
    returned: Receiver<Batch>,
    /// Files with several names that have come.
    linked: HashSet<(u64, u64)>,
}

impl Reading {
    fn enter(&mut self, entry: &walk::Entry<'_>) -> tree::Result<()> {
        let (attributes, flags) = entry.attributes_and_flags()?;
        let stat = entry.stat;
        let is_new =
            stat.nlink == 1 || stat.kind == Kind::Directory || self.linked.insert((stat.dev, stat.ino));
        let body = match stat.kind {
            _ if !is_new => Body::None,
            Kind::Symlink => Body::Link(entry.read_link()?),
            Kind::File if stat.size == 0 => Body::None,
            Kind::File => self.content(entry)?,
            _ => Body::None,
        };
        self.batch.entries.push(Entry {
            path: entry.path.to_owned(),
            name: entry.name.to_owned(),
            stat,
            attributes,
            flags,
            body,
        });
        match self.batch.entries.len() < ENTRIES {
            true => Ok(()),
            false => self.pass_on(),
        }
    }

    fn content(&mut self, entry: &walk::Entry<'_>) -> tree::Result<Body> {
        let size = entry.stat.size;
        let file = File::from(entry.open()?);
        if size >= SMALL {
            return Ok(Body::Large(file));
        }
        if self.batch.bytes.len() + size as usize > BATCH {
            self.pass_on()?;
        }
        let bytes = &mut self.batch.bytes;
        let range = bytes.len()..bytes.len() + size as usize;
        bytes.resize(range.end, 0);
        fill(&file, &mut bytes[range.clone()]).map_err(|e| tree::Error::io("read", entry.path, e))?;
        Ok(Body::Small(range))
    }

    fn pass_on(&mut self) -> tree::Result<()> {
        let Ok(mut next) = self.returned.recv() else {
            return Err(tree::Error::Stopped);
        };
        next.bytes.clear();
        let full = std::mem::replace(&mut self.batch, next);
        self.full.send(full).map_err(|_| tree::Error::Stopped)
    }
}

/// Reads a file as far as it goes; the rest is zeros already.
fn fill(file: &File, bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where an entry stands: 0 for the root.
pub fn depth(path: &Path) -> usize {
    path.components().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trees of more entries and bytes than are on their way at once.
    fn tree(dir: &Path) -> Tree {
        let tree = Tree::open(dir).unwrap();
        for number in 0..400u32 {
            let directory = format!("{}", number % 7);
            tree.mkdir_all(&directory).unwrap();
            let content = vec![number as u8; (number * number * 3) as usize % 300_000];
            tree.write(format!("{directory}/{number}"), content).unwrap();
        }
        tree.hard_link("3/3", "3/3 again").unwrap();
        tree.symlink("target", "link").unwrap();
        tree
    }

    #[test]
    fn all_comes_in_the_order_of_a_walk() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        let mut expected = Vec::new();
        walk::walk(&tree, &mut |entry| {
            expected.push(entry.path.to_owned());
            Ok(())
        })
        .unwrap();
        let mut found = Vec::new();
        let mut visit = |entry: &Entry, batch: &[u8]| {
            let on_disk = dir.path().join(&entry.path);
            match &entry.body {
                Body::Small(range) => assert!(std::fs::read(on_disk).unwrap() == batch[range.clone()]),
                Body::Large(_) => assert!(entry.stat.size >= SMALL),
                Body::Link(target) => assert_eq!(target, Path::new("target")),
                Body::None => assert!(
                    entry.stat.kind == Kind::Directory || entry.stat.nlink == 2 || entry.stat.size == 0
                ),
            }
            found.push(entry.path.clone());
            Ok(())
        };
        std::thread::scope(|scope| Ahead::begin(&tree, scope).unwrap().each(&mut visit)).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn who_gives_up_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        let fail = |_: &Entry, _: &[u8]| Err(Error::unsuitable("no"));
        let ended = std::thread::scope(|scope| Ahead::begin(&tree, scope).unwrap().each(fail));
        assert_eq!(ended.unwrap_err().to_string(), "no");
    }
}
