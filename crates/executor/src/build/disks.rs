//! The file systems beside a stage's disks, around its run: see [`devices`](crate::devices).

use std::fs::File;
use std::io::Write;

use image::SparseFile;
use manifest::{Pipeline, Stage};
use sandbox::UserNamespace;
use serde_json::Value;
use store::{NewTree, Object};

use crate::devices::fill::Fill;
use crate::devices::range::Range;
use crate::devices::setup::Setup;
use crate::devices::sides::{Disks, Side, State, range_digest};
use crate::keep::Keeper;
use crate::library::Library;
use crate::report::How;
use crate::stage::{Job, renew};
use crate::{Error, Result, services};

/// What goes with the run of a stage.
pub(super) struct DiskRun<'a> {
    pub(super) library: &'a Library,
    pub(super) pipeline: &'a Pipeline,
    /// As the stage's own, but with nothing of its devices.
    pub(super) job: Job<'a>,
    pub(super) users: &'a UserNamespace,
    pub(super) tree: &'a NewTree,
    /// What that is made on.
    pub(super) base: Option<&'a Object>,
    pub(super) log: &'a File,
    /// Gets what is printed.
    pub(super) tell: &'a (dyn Fn(&str) + Sync),
    pub(super) sides: Vec<Side>,
    /// What was said meanwhile.
    pub(super) output: String,
}

impl<'a> DiskRun<'a> {
    /// Has everything as the stage may find it; why that failed, if it did.
    pub(super) fn begin(&mut self, setup: &Setup) -> Result<Option<How>> {
        if let Some(how) = self.settle(&setup.settle)? {
            return Ok(Some(how));
        }
        for index in &setup.doubtful {
            let side = &self.sides[*index];
            let digest = match side.state {
                State::Written => self
                    .disk(&side.range.file)
                    .and_then(|disk| range_digest(&disk, &side.range)),
                _ => continue,
            };
            let digest =
                digest.map_err(|e| self.wrong(format!("{} cannot be read: {e}", side.range.file)))?;
            self.sides[*index].state = State::Doubtful { digest };
        }
        Ok(None)
    }

    /// A disk as it is now.
    fn disk(&self, file: &str) -> std::result::Result<SparseFile, String> {
        let message = |e: Error| e.to_string();
        // what was written just now is above the base
        let above = Disks::of_dir(&self.tree.upper()).map_err(message)?;
        above
            .open(file)
            .or_else(|_| Disks::of(self.base).map_err(message)?.open(file))
    }

    /// Brings the disks up to date of those file systems (indices) that are behind; why it failed, if it did.
    fn settle(&mut self, which: &[usize]) -> Result<Option<How>> {
        for index in which {
            if self.sides[*index].is_behind()
                && let Some(how) = self.write(*index)?
            {
                return Ok(Some(how));
            }
        }
        Ok(None)
    }

    /// Brings all disks up to date.
    pub(super) fn settle_all(&mut self) -> Result<Option<How>> {
        let all: Vec<usize> = (0..self.sides.len()).collect();
        self.settle(&all)
    }

    fn write(&mut self, index: usize) -> Result<Option<How>> {
        let side = self.sides[index].clone();
        let (file, start) = (&side.range.file, side.range.start);
        self.say(&format!(
            "writing the {} file system at byte {start} of {file}\n",
            side.kind
        ));
        let stage = self.maker(&side)?;
        let module = self.library.stage_module(stage)?;
        if module.libdir.is_some() {
            return Err(self.wrong(format!(
                "{} is a foreign module now: it cannot fill what ours began",
                stage.name
            )));
        }
        let (none, empty) = (services::Modules::none(), Setup::default());
        let job = Job {
            stage,
            module: &module,
            users: self.users,
            services: &none,
            setup: &empty,
            fill: Some(Fill { side: &side }),
            next_makes_sockets: None,
            ..self.job
        };
        let log = self
            .log
            .try_clone()
            .map_err(|e| Error::io("write", "the log", e))?;
        let done = job.run(self.tree, log, self.tell)?;
        self.output.push_str(&done.output);
        renew(self.tree)?;
        if let Some(how) = done.failure {
            let what = format!("{} of {file}, which {} makes", side.kind, stage.path);
            return Ok(Some(How::Other(format!(
                "the files do not fit the file system {what}: {how}"
            ))));
        }
        self.sides[index].state = State::Written;
        Ok(None)
    }

    /// The stage that makes a file system.
    fn maker(&self, side: &Side) -> Result<&'a Stage> {
        let stages = &self.pipeline.stages;
        let found = stages.iter().find(|stage| stage.id.to_string() == side.stage);
        found.ok_or_else(|| self.wrong(format!("the stage {} is not in this pipeline", side.stage)))
    }

    /// Keeps what the stage changed in file systems, and those that it made; how the stage fails with that, if it does.
    pub(super) fn keep(&mut self, setup: Setup, made: &Value, keeper: &Keeper<'_>) -> Result<Option<How>> {
        for used in setup.used.into_iter().filter(|used| !used.read_only) {
            let side = &mut self.sides[used.side];
            let tree = match keeper.commit(used.tree)? {
                Ok(tree) => tree,
                Err(how) => return Ok(Some(how)),
            };
            if tree.digest() != side.tree.digest() {
                side.tree = tree;
                side.state = State::Behind;
            }
        }
        for (index, content) in setup.content {
            let device = &self.job.stage.devices[index];
            let kind = made.get(&device.name).and_then(Value::as_str);
            let (Some(kind), Some(range)) = (kind, Range::of_device(device)) else {
                self.job.store.discard(content);
                continue;
            };
            let disks = Disks::of_dir(&self.tree.upper())?;
            let sized = range.and_then(|range| range.clone().sized(&disks.open(&range.file)?));
            let range = sized.map_err(|message| self.wrong(message))?;
            let tree = match keeper.commit(content)? {
                Ok(tree) => tree,
                Err(how) => return Ok(Some(how)),
            };
            self.sides.retain(|side| !side.range.overlaps(&range));
            self.sides.push(Side {
                state: State::Written,
                range,
                kind: kind.to_owned(),
                stage: self.job.stage.id.to_string(),
                device: device.name.clone(),
                tree,
            });
        }
        Ok(None)
    }

    fn say(&mut self, text: &str) {
        (self.tell)(text);
        // the output has it as well
        let _ = (&mut &*self.log).write_all(text.as_bytes());
        self.output.push_str(text);
    }

    fn wrong(&self, message: String) -> Error {
        Error::Unbuildable {
            stage: self.job.stage.name.clone(),
            message,
        }
    }
}
