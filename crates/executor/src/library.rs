//! The modules there are: ours, in one executable, and those of library directories.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use manifest::{ModuleKind, Schemas, Version};
use serde_json::{Value, json};

use crate::foreign::Foreign;
use crate::{Error, Result, elf};

/// The executable that holds our modules.
const MODULES: &str = "osbuild-modules";

/// What the executor knows of a source module.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    pub name: String,
    pub aliases: Vec<String>,
    /// Its `.meta.json`.
    pub meta: Value,
}

/// A stage or assembler and how it is run.
#[derive(Debug, Clone)]
pub struct ModuleInfo {
    pub name: String,
    pub kind: ModuleKind,
    /// The executable on the host.
    pub executable: PathBuf,
    /// The library directory of a foreign module.
    pub libdir: Option<PathBuf>,
    /// Whether it needs the host's loader and libraries brought along.
    pub dynamic: bool,
    /// A digest of all that decides what it does.
    pub digest: String,
    pub meta: Value,
}

/// All modules.
#[derive(Debug)]
pub struct Library {
    executable: PathBuf,
    dynamic: bool,
    own: BTreeMap<(&'static str, String), Value>,
    sources: Vec<SourceInfo>,
    foreign: Vec<Foreign>,
}

impl Library {
    /// Finds our modules and takes the library directories `libdirs` before them, first one first.
    ///
    /// # Errors
    /// The executable with our modules is nowhere, or does not answer; a library directory is none.
    pub fn open(libdirs: &[PathBuf], sources: Vec<SourceInfo>) -> Result<Self> {
        let executable = find_modules()?;
        let own = describe(&executable)?;
        let foreign = libdirs
            .iter()
            .map(|dir| Foreign::open(dir))
            .collect::<Result<_>>()?;
        let dynamic = elf::is_dynamic(&executable);
        Ok(Self {
            executable,
            dynamic,
            own,
            sources,
            foreign,
        })
    }

    /// The module `name`, from the first place that has it.
    pub fn find(&self, kind: ModuleKind, name: &str) -> Option<ModuleInfo> {
        if let Some(module) = self.foreign.iter().find_map(|dir| dir.find(kind, name)) {
            return Some(module);
        }
        let meta = self.own.get(&(kind.folder(), name.to_owned()))?;
        Some(ModuleInfo {
            name: name.to_owned(),
            kind,
            executable: self.executable.clone(),
            libdir: None,
            dynamic: self.dynamic,
            digest: meta["digest"].as_str().unwrap_or_default().to_owned(),
            meta: meta.clone(),
        })
    }

    fn source(&self, name: &str) -> Option<&SourceInfo> {
        self.sources
            .iter()
            .find(|source| source.name == name || source.aliases.iter().any(|alias| alias == name))
    }
}

impl Schemas for Library {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        let meta = match kind {
            ModuleKind::Source => self.source(name)?.meta.clone(),
            ModuleKind::Input => crate::inputs::meta(name)?,
            ModuleKind::Stage | ModuleKind::Assembler => self.find(kind, name)?.meta,
            ModuleKind::Device | ModuleKind::Mount => return None,
        };
        if meta.is_null() {
            return Some(manifest::open_schema(kind, name, version));
        }
        manifest::assemble_schema(kind, name, version, &meta)
    }

    fn names(&self, kind: ModuleKind) -> Vec<String> {
        match kind {
            ModuleKind::Source => self.sources.iter().map(|source| source.name.clone()).collect(),
            ModuleKind::Input => crate::inputs::NAMES.map(str::to_owned).to_vec(),
            _ => {
                let own = self
                    .own
                    .keys()
                    .filter(|(folder, _)| *folder == kind.folder())
                    .map(|(_, name)| name.clone());
                let mut names: Vec<_> = own
                    .chain(self.foreign.iter().flat_map(|dir| dir.names(kind)))
                    .collect();
                names.sort();
                names.dedup();
                names
            }
        }
    }
}

/// Looks for the modules beside this executable, in `../lib/osbuild`, and where they were installed.
fn find_modules() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(|e| Error::io("find", "/proc/self/exe", e))?;
    let beside = this.parent().unwrap_or(Path::new("/"));
    let mut places = vec![beside.join(MODULES), beside.join("../lib/osbuild").join(MODULES)];
    if let Some(prefix) = option_env!("OSBUILD_PREFIX") {
        places.push(Path::new(prefix).join("lib/osbuild").join(MODULES));
    }
    let executable = |path: &&PathBuf| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    places.iter().find(executable).cloned().ok_or_else(|| {
        let looked = places
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        Error::Library {
            message: format!("the modules are nowhere: looked for {looked}"),
            hint: "`cargo build --release` makes them beside osbuild, `cargo xtask install` installs them"
                .into(),
        }
    })
}

/// Asks the executable what its modules are; keyed by folder and name.
fn describe(executable: &Path) -> Result<BTreeMap<(&'static str, String), Value>> {
    let fail = |what: String| Error::Library {
        message: format!("{} does not describe its modules: {what}", executable.display()),
        hint: "it must be of the same version as osbuild".into(),
    };
    let output = Command::new(executable)
        .arg("--describe")
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
