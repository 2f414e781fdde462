//! Library directories with modules in any language: `DIR/stages/NAME`, an executable, and perhaps `NAME.meta.json`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use manifest::ModuleKind;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::library::ModuleInfo;
use crate::{Error, Result};

/// A library directory.
#[derive(Debug)]
pub(crate) struct Foreign {
    dir: PathBuf,
}

impl Foreign {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|e| Error::io("open", dir, e))?;
        if dir.is_dir() {
            return Ok(Self { dir });
        }
        Err(Error::Library {
            message: format!("the library directory {} is no directory", dir.display()),
            hint: "`--libdir DIR` names a directory with folders such as stages/".into(),
        })
    }

    /// The module `name`; without metadata any option will do.
    pub(crate) fn find(&self, kind: ModuleKind, name: &str) -> Option<ModuleInfo> {
        if name.contains('/') || name.starts_with('.') {
            return None;
        }
        let executable = self.dir.join(kind.folder()).join(name);
        if !is_executable(&executable) {
            return None;
        }
        let meta_text =
            std::fs::read(executable.with_file_name(format!("{name}.meta.json"))).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [&std::fs::read(&executable).ok()?, &meta_text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Some(ModuleInfo {
            name: name.to_owned(),
            kind,
            executable,
            libdir: Some(self.dir.clone()),
            dynamic: false,
            digest: hex::encode(hash.finalize()),
            meta: serde_json::from_slice(&meta_text).unwrap_or(Value::Null),
        })
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

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
