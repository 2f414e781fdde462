//! The modules there are: ours, in one executable, and those of library directories.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use manifest::{ModuleKind, Schemas, Version};
use serde_json::Value;
use store::Store;

use crate::foreign::Foreign;
use crate::own::Own;
use crate::{Error, Profile, Program, Result, StandIn, elf, runner};

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
    /// The directory of the Python package that a foreign module imports.
    pub python_package: Option<PathBuf>,
    /// Whether a foreign module asks for loop devices while it runs, which it then mounts.
    pub takes_devices: bool,
    /// Whether it needs the host's loader and libraries brought along.
    pub dynamic: bool,
    /// Ours that a foreign module finds in place of the build root's.
    pub programs: Vec<Program>,
    /// A digest of all that decides what it does.
    pub digest: String,
    pub meta: Arc<Value>,
}

impl ModuleInfo {
    /// What it may do in its box.
    pub(crate) fn profile(&self) -> Profile<'_> {
        Profile::of(&self.meta, self.libdir.is_some())
    }
}

/// All modules.
#[derive(Debug)]
pub struct Library {
    own: Own,
    dynamic: bool,
    sources: LazyLock<Vec<SourceInfo>>,
    foreign: Vec<Foreign>,
}

impl Library {
    /// Finds our modules and takes the library directories `libdirs` before them, first one first. What is noted of our
    /// modules in the directory of the `store` need not be asked again.
    ///
    /// # Errors
    /// The executable with our modules is nowhere; a library directory is none.
    pub fn open(libdirs: &[PathBuf], sources: fn() -> Vec<SourceInfo>, store: Option<&Path>) -> Result<Self> {
        let executable = find_modules()?;
        let foreign = libdirs
            .iter()
            .map(|dir| Foreign::open(dir))
            .collect::<Result<_>>()?;
        let dynamic = elf::is_dynamic(&executable);
        Ok(Self {
            own: Own::new(executable, store),
            dynamic,
            sources: LazyLock::new(sources),
            foreign,
        })
    }

    /// Has modules of library directories find these programs of ours in place of the build root's.
    #[must_use]
    pub fn with_stand_ins(mut self, stand_ins: &[StandIn]) -> Self {
        let program = |what: &StandIn| Program {
            what: *what,
            executable: self.own.executable().to_owned(),
            dynamic: self.dynamic,
        };
        let programs: Vec<Program> = stand_ins.iter().map(program).collect();
        for foreign in &mut self.foreign {
            foreign.programs.clone_from(&programs);
        }
        self
    }

    /// Has the store note what was asked of our modules, for the next run.
    pub fn note_in(&self, store: &Store) {
        self.own.note_in(store);
    }

    /// Learns about these stages and assemblers at once. What is asked about later alone costs a process each time.
    ///
    /// # Errors
    /// The executable with our modules does not answer.
    pub fn prepare(&self, names: &BTreeSet<String>) -> Result<()> {
        self.own.prepare(names)
    }

    /// The same for all modules there are.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_all(&self) -> Result<()> {
        self.own.prepare_all()
    }

    /// The module `name`, from the first place that has it.
    pub fn find(&self, kind: ModuleKind, name: &str) -> Option<ModuleInfo> {
        if let Some(module) = self.foreign(kind, name) {
            return Some(module);
        }
        let meta = self.own.get(kind, name)?;
        Some(ModuleInfo {
            name: name.to_owned(),
            kind,
            executable: self.own.executable().to_owned(),
            libdir: None,
            python_package: None,
            takes_devices: false,
            dynamic: self.dynamic,
            programs: Vec::new(),
            digest: meta["digest"].as_str().unwrap_or_default().to_owned(),
            meta,
        })
    }

    /// The module of `stage`. Its digest covers the foreign inputs, devices and mounts of the stage too, and what stands in
    /// for programs that it runs.
    ///
    /// # Errors
    /// There is none, or no such service.
    pub(crate) fn stage_module(&self, stage: &manifest::Stage) -> Result<ModuleInfo> {
        let unknown = || Error::Unbuildable {
            stage: stage.name.clone(),
            message: "there is no such module".into(),
        };
        let mut module = self.find(stage.kind, &stage.name).ok_or_else(unknown)?;
        let services = crate::services::Modules::find(self, stage)?;
        if !services.is_empty() {
            module.digest = format!("{} with {}", module.digest, services.digests().join(", "));
        }
        for program in &module.programs {
            let meta = self.own.get(ModuleKind::Stage, program.what.stage());
            let meta = meta.ok_or_else(unknown)?;
            let digest = meta["digest"].as_str().unwrap_or_default();
            module.digest += &format!(" with our {} {digest}", program.what.name());
        }
        Ok(module)
    }

    /// The module `name` of a library directory.
    pub(crate) fn foreign(&self, kind: ModuleKind, name: &str) -> Option<ModuleInfo> {
        self.foreign.iter().find_map(|dir| dir.find(kind, name))
    }

    /// Whether a module of this name comes from a library directory.
    pub fn is_foreign(&self, kind: ModuleKind, name: &str) -> bool {
        self.foreign(kind, name).is_some()
    }

    /// The runner of a pipeline, and its file: the one that was asked for, or the host's. Where no library directory has
    /// one, the file is called as the runner is.
    pub fn runner(&self, wanted: Option<&str>) -> (String, String) {
        let name = wanted.map_or_else(runner::of_host, str::to_owned);
        let file = self.foreign.iter().find_map(|dir| dir.runner(&name));
        let file = file.unwrap_or_else(|| name.clone());
        match wanted {
            Some(_) => (name, file),
            None => (file.clone(), file),
        }
    }

    /// The metadata of a module, as in its `.meta.json`; `Null` for one that has none.
    pub fn meta(&self, kind: ModuleKind, name: &str) -> Option<Value> {
        if let Some(module) = self.foreign(kind, name) {
            return Some(module.meta.as_ref().clone());
        }
        match kind {
            ModuleKind::Source => self.source(name).map(|source| source.meta.clone()),
            ModuleKind::Input => crate::inputs::meta(name),
            ModuleKind::Stage | ModuleKind::Assembler => {
                self.find(kind, name).map(|module| module.meta.as_ref().clone())
            }
            ModuleKind::Device => crate::devices::meta(name),
            ModuleKind::Mount => crate::mounts::meta(name),
        }
    }

    fn source(&self, name: &str) -> Option<&SourceInfo> {
        self.sources
            .iter()
            .find(|source| source.name == name || source.aliases.iter().any(|alias| alias == name))
    }
}

impl Schemas for Library {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        let meta = self.meta(kind, name)?;
        if meta.is_null() {
            return Some(manifest::open_schema(kind, name, version));
        }
        manifest::assemble_schema(kind, name, version, &meta)
    }

    fn names(&self, kind: ModuleKind) -> Vec<String> {
        let mut names: Vec<String> = match kind {
            ModuleKind::Source => self.sources.iter().map(|source| source.name.clone()).collect(),
            ModuleKind::Input => {
                let names = crate::inputs::INPUTS.iter().map(|input| input.name.to_owned());
                names.collect()
            }
            ModuleKind::Device => {
                let devices = crate::devices::DEVICES.iter();
                devices.map(|device| device.name.to_owned()).collect()
            }
            ModuleKind::Mount => {
                let mounts = crate::mounts::MOUNTS.iter();
                mounts.map(|mount| mount.name.to_owned()).collect()
            }
            ModuleKind::Stage | ModuleKind::Assembler => self.own.names(kind),
        };
        names.extend(self.foreign.iter().flat_map(|dir| dir.names(kind)));
        names.sort();
        names.dedup();
        names
    }

    fn trouble(&self, kind: ModuleKind, name: &str) -> Option<String> {
        self.foreign.iter().find_map(|dir| dir.trouble(kind, name))
    }

    fn manifest_schema(&self, version: Version) -> Option<Value> {
        self.foreign.iter().find_map(|dir| dir.manifest_schema(version))
    }
}

/// Looks for the modules beside this executable, in `../lib/osbuild`, and where they were installed: the executable with them,
/// without links on the way.
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
    let found = places.iter().find(executable);
    let resolved = |path: &PathBuf| std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e));
    found.map(resolved).unwrap_or_else(|| {
        let looked = places
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        Err(Error::Library {
            message: format!("the modules are nowhere: looked for {looked}"),
            hint: "`cargo build --release` makes them beside osbuild, `cargo xtask install` installs them"
                .into(),
        })
    })
}
