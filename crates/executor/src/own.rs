//! What our modules say of themselves, asked for as it is needed: one executable holds them all, and to have it describe
//! each of them would cost more than a cached build.

mod note;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifest::ModuleKind;
use serde_json::{Value, json};
use store::Store;

use crate::{Error, Result};
use note::{Metas, Note};

/// Our modules.
#[derive(Debug)]
pub(crate) struct Own {
    executable: PathBuf,
    /// The directory of the store in which notes are kept.
    notes: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether there is nothing left to ask.
    all: bool,
    asked: BTreeSet<String>,
    /// By folder and name.
    metas: BTreeMap<(&'static str, String), Arc<Value>>,
    /// What the store does not have a note of.
    news: BTreeMap<String, Metas>,
}

impl Own {
    /// Those of `executable`; with the store in the directory `notes`, if one is there, for what was said before.
    pub(crate) fn new(executable: PathBuf, notes: Option<&Path>) -> Self {
        Self {
            executable,
            notes: notes.map(Path::to_owned),
            known: Mutex::default(),
        }
    }

    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about these modules, all at once. A name that is nobody's is fine.
    pub(crate) fn prepare(&self, names: &BTreeSet<String>) -> Result<()> {
        let mut known = self.known();
        let is_new = |name: &&String| note::is_name(name) && !known.asked.contains(*name);
        let mut new: Vec<&String> = names.iter().filter(is_new).collect();
        if known.all || new.is_empty() {
            return Ok(());
        }
        let identity = self.notes.as_ref().zip(note::identity(&self.executable));
        if let Some((dir, identity)) = &identity {
            let note = Note::read(dir, identity);
            new.retain(|name| match note.get(name) {
                Some(metas) => {
                    known.learn(name, metas);
                    false
                }
                None => true,
            });
        }
        if !new.is_empty() {
            let described = describe(&self.executable, &new)?;
            for name in new {
                let of = described.iter().filter(|((_, called), _)| called == name);
                let metas: Metas = of.map(|((folder, _), meta)| (*folder, meta.clone())).collect();
                known.news.insert(name.clone(), metas);
            }
            known.metas.extend(shared(described));
        }
        known.asked.extend(names.iter().cloned());
        Ok(())
    }

    /// Has the store note what it has no note of, for the next run. Nothing of this can fail a build.
    pub(crate) fn note_in(&self, store: &Store) {
        let news = std::mem::take(&mut self.known().news);
        let Some(identity) = note::identity(&self.executable).filter(|_| !news.is_empty()) else {
            return;
        };
        let mut all = Note::read(store.path(), &identity);
        for (name, metas) in &news {
            all.put(name, metas);
        }
        if let Some(text) = all.text(&identity) {
            let _ = store.write_note(note::NAME, text.as_bytes());
        }
    }

    /// Asks about all modules.
    pub(crate) fn prepare_all(&self) -> Result<()> {
        let mut known = self.known();
        if !known.all {
            known.metas = shared(describe(&self.executable, &[])?).collect();
            known.all = true;
        }
        Ok(())
    }

    /// The metadata of a module.
    pub(crate) fn get(&self, kind: ModuleKind, name: &str) -> Option<Arc<Value>> {
        // whoever did not prepare pays for a process of its own; that it fails was told where it was prepared
        self.prepare(&[name.to_owned()].into()).ok()?;
        self.known().metas.get(&(kind.folder(), name.to_owned())).cloned()
    }

    /// The names of all modules of a kind, aliases too.
    pub(crate) fn names(&self, kind: ModuleKind) -> Vec<String> {
        let _ = self.prepare_all();
        let known = self.known();
        let own = known.metas.keys().filter(|(folder, _)| *folder == kind.folder());
        own.map(|(_, name)| name.clone()).collect()
    }
}

impl Known {
    fn learn(&mut self, name: &str, metas: Metas) {
        let keyed = metas
            .into_iter()
            .map(|(folder, meta)| ((folder, name.to_owned()), Arc::new(meta)));
        self.metas.extend(keyed);
    }
}

fn shared<K>(metas: impl IntoIterator<Item = (K, Value)>) -> impl Iterator<Item = (K, Arc<Value>)> {
    metas.into_iter().map(|(key, meta)| (key, Arc::new(meta)))
}

/// Asks the executable about the modules `names`, or about all; keyed by folder and name.
fn describe(executable: &Path, names: &[&String]) -> Result<BTreeMap<(&'static str, String), Value>> {
    let fail = |what: String| Error::Library {
        message: format!("{} does not describe its modules: {what}", executable.display()),
        hint: "it must be of the same version as osbuild".into(),
    };
    let output = Command::new(executable)
        .arg("--describe")
        .args(names)
        .output()
        .map_err(|e| fail(e.to_string()))?;
    let text = if output.status.success() {
        output.stdout
    } else {
        return Err(fail(output.status.to_string()));
    };
    let list: Vec<Value> = serde_json::from_slice(&text).map_err(|e| fail(e.to_string()))?;
    let mut all = BTreeMap::new();
    for mut meta in list {
        let folder = match meta["kind"].as_str() {
            Some("assemblers") => ModuleKind::Assembler.folder(),
            _ => ModuleKind::Stage.folder(),
        };
        let names: Vec<String> = [&json!([meta["name"]]), &meta["aliases"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        if let Some(map) = meta.as_object_mut() {
            map.retain(|key, _| !matches!(key.as_str(), "name" | "aliases" | "kind"));
        }
        for name in names {
            all.insert((folder, name), meta.clone());
        }
    }
    Ok(all)
}
