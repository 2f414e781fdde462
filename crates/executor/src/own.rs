//! What our modules say of themselves, asked for as it is needed: one executable holds them all, and to have it describe
//! each of them would cost more than a cached build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use manifest::ModuleKind;
use serde_json::{Value, json};

use crate::{Error, Result};

/// Our modules.
#[derive(Debug)]
pub(crate) struct Own {
    executable: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether there is nothing left to ask.
    all: bool,
    asked: BTreeSet<String>,
    /// By folder and name.
    metas: BTreeMap<(&'static str, String), Value>,
}

impl Own {
    pub(crate) fn new(executable: PathBuf) -> Self {
        Self {
            executable,
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
        // no module is called so, and no process could be told
        let fit = |name: &&String| !name.is_empty() && !name.contains('\0');
        let new: Vec<&String> = names.difference(&known.asked).filter(fit).collect();
        if !known.all && !new.is_empty() {
            let described = describe(&self.executable, &new)?;
            known.metas.extend(described);
            known.asked.extend(names.iter().cloned());
        }
        Ok(())
    }

    /// Asks about all modules.
    pub(crate) fn prepare_all(&self) -> Result<()> {
        let mut known = self.known();
        if !known.all {
            known.metas = describe(&self.executable, &[])?;
            known.all = true;
        }
        Ok(())
    }

    /// The metadata of a module.
    pub(crate) fn get(&self, kind: ModuleKind, name: &str) -> Option<Value> {
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
