//! Library directories with modules in any language: `DIR/stages/NAME`, an executable, and perhaps `NAME.meta.json`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use manifest::{ModuleKind, Version};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::library::ModuleInfo;
use crate::services::python;
use crate::{Error, Program, Result, embedded};

/// What the code of a module that asks for loop devices has in it.
const REMOTELOOP: &[u8] = b"remoteloop";

/// A library directory.
#[derive(Debug)]
pub(crate) struct Foreign {
    dir: PathBuf,
    /// The Python package of its modules, and a digest of that; found when the first module is.
    package: OnceLock<Option<(PathBuf, String)>>,
    /// Ours that its modules find in place of the build root's.
    pub(crate) programs: Vec<Program>,
}

impl Foreign {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|e| Error::io("open", dir, e))?;
        if dir.is_dir() {
            return Ok(Self {
                dir,
                package: OnceLock::new(),
                programs: Vec::new(),
            });
        }
        Err(Error::Library {
            message: format!("the library directory {} is no directory", dir.display()),
            hint: "`--libdir DIR` names a directory with folders such as stages/".into(),
        })
    }

    /// The module `name`; without metadata any option will do.
    pub(crate) fn find(&self, kind: ModuleKind, name: &str) -> Option<ModuleInfo> {
        if (name.contains('/') || name.starts_with('.')) && !fault::lifted!("module-names") {
            return None;
        }
        let executable = self.dir.join(kind.folder()).join(name);
        if !is_executable(&executable) {
            return None;
        }
        let meta_text = std::fs::read(executable.with_file_name(format!("{name}.meta.json"))).ok();
        let code = std::fs::read(&executable).ok()?;
        let package = self.package();
        let mut hash = Sha256::new();
        let text = meta_text.as_deref().unwrap_or_default();
        let library = package.map(|(_, digest)| digest.as_bytes()).unwrap_or_default();
        for part in [&code, text, library] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Some(ModuleInfo {
            name: name.to_owned(),
            kind,
            executable,
            libdir: Some(self.dir.clone()),
            python_package: package.map(|(path, _)| path.clone()),
            // its name is that of the Python package's module, and of the socket
            takes_devices: code.windows(REMOTELOOP.len()).any(|part| part == REMOTELOOP),
            dynamic: false,
            programs: {
                let named = |program: &&Program| program.what.is_named_in(&code);
                self.programs.iter().filter(named).cloned().collect()
            },
            digest: hex::encode(hash.finalize()),
            meta: Arc::new(metadata(&code, meta_text.as_deref())),
        })
    }

    /// What is wrong with the metadata of the module `name`, which is there but has no schema.
    pub(crate) fn trouble(&self, kind: ModuleKind, name: &str) -> Option<String> {
        let module = self.find(kind, name)?;
        let noun = kind.noun();
        let file = module.executable.with_file_name(format!("{name}.meta.json"));
        let Ok(text) = std::fs::read(&file) else {
            return Some(format!("the {noun} {name} has no schema in its source"));
        };
        let file = file.display();
        Some(match serde_json::from_slice::<Value>(&text) {
            Err(error) => format!("the metadata of the {noun} {name}, {file}, is no JSON: {error}"),
            Ok(Value::Object(_)) => format!("the metadata of the {noun} {name}, {file}, has no schema"),
            Ok(_) => format!("the metadata of the {noun} {name}, {file}, is no JSON object"),
        })
    }

    fn package(&self) -> Option<&(PathBuf, String)> {
        let find = || {
            let path = python::package(&self.dir)?;
            let digest = python::digest(&path);
            Some((path, digest))
        };
        self.package.get_or_init(find).as_ref()
    }

    /// Its schema of whole manifests.
    pub(crate) fn manifest_schema(&self, version: Version) -> Option<Value> {
        let name = match version {
            Version::One => "osbuild1.json",
            Version::Two => "osbuild2.json",
        };
        let text = std::fs::read(self.dir.join("schemas").join(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The file name of the runner that serves for `wanted`.
    pub(crate) fn runner(&self, wanted: &str) -> Option<String> {
        let path = crate::runner::find(&self.dir, wanted)?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    pub(crate) fn names(&self, kind: ModuleKind) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.dir.join(kind.folder())) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let names = paths
            .filter(|path| is_executable(path))
            .filter_map(|path| Some(path.file_name()?.to_owned()));
        names.filter_map(|name| name.into_string().ok()).collect()
    }
}

/// The contents of `.meta.json`, else what a Python module says of itself; `Null` for one that says nothing. Metadata
/// that is no JSON, or no object, is there but holds no schema.
fn metadata(code: &[u8], meta: Option<&[u8]>) -> Value {
    match meta {
        Some(text) => serde_json::from_slice(text)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({})),
        None => std::str::from_utf8(code)
            .ok()
            .and_then(embedded::metadata)
            .unwrap_or(Value::Null),
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
