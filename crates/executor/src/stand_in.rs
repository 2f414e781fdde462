//! Programs of ours that foreign modules find in place of the build root's, where a build asks for that.
//!
//! A module whose code names such a program gets our executable, which answers to that name too, at a place that is first
//! in its `PATH`. What ours does not do exactly as the other it hands on to that one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sandbox::{Idmap, Mount, Source};

use crate::{Error, Result, elf};

/// Where they are in the box: first in `PATH`.
const TOOLS: &str = "/run/osbuild/tools";

/// A program that ours can stand in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    /// Raw disks become those of hypervisors on all processors, and the same bytes each time.
    QemuImg,
}

impl StandIn {
    pub(crate) const ALL: [Self; 1] = [Self::QemuImg];

    /// What the program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::QemuImg => "qemu-img",
        }
    }

    /// The stage of ours that does the same: its digest covers the program.
    pub(crate) fn stage(self) -> &'static str {
        match self {
            Self::QemuImg => "org.osbuild.qemu",
        }
    }

    /// Whether the code of a module has its name in it.
    pub(crate) fn is_named_in(self, code: &[u8]) -> bool {
        let name = self.name().as_bytes();
        code.windows(name.len()).any(|part| part == name)
    }
}

/// One of them as this machine has it.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) what: StandIn,
    /// Our executable.
    pub(crate) executable: PathBuf,
    /// Whether it needs libraries of the host, which a build root may lack.
    pub(crate) dynamic: bool,
}

impl Program {
    /// What puts it into a box. `scratch` is a directory of the stage.
    pub(crate) fn mounts(&self, scratch: &Path) -> Result<Vec<Mount>> {
        let read_only = |source: PathBuf, target: PathBuf| Mount::Bind {
            source: Source::at(source),
            target,
            writable: false,
            idmap: Idmap::Wanted,
        };
        let name = self.what.name();
        let place = Path::new(TOOLS).join(name);
        let executable = &self.executable;
        let executable = std::fs::canonicalize(executable).map_err(|e| Error::io("find", executable, e))?;
        if !self.dynamic {
            return Ok(vec![read_only(executable, place)]);
        }
        let host = Path::new("/run/osbuild/host");
        let program = host.join(name);
        let libraries = elf::own_libraries();
        let in_box = |library: &Path| host.join(library.file_name().unwrap_or_default());
        let loader = libraries.first().map(|path| in_box(path)).unwrap_or_default();
        let text = format!(
            "#!/bin/sh\nexec {} --argv0 {name} --library-path {} {} \"$@\"\n",
            loader.display(),
            host.display(),
            program.display()
        );
        let script = scratch.join(name);
        std::fs::write(&script, text)
            .and_then(|()| std::fs::set_permissions(&script, Permissions::from_mode(0o755)))
            .map_err(|e| Error::io("write", &script, e))?;
        let mut mounts = vec![read_only(executable, program)];
        mounts.extend(libraries.iter().map(|path| read_only(path.clone(), in_box(path))));
        mounts.push(Mount::Bind {
            source: Source::at(script),
            target: place,
            writable: false,
            idmap: Idmap::Required,
        });
        Ok(mounts)
    }
}

impl std::str::FromStr for StandIn {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.into_iter().find(|one| one.name() == text);
        known.ok_or_else(|| format!("it must be one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_get_what_they_name() {
        assert!(StandIn::QemuImg.is_named_in(b"run([\"qemu-img\", \"convert\"])"));
        assert!(!StandIn::QemuImg.is_named_in(b"qemu"));
        assert_eq!("qemu-img".parse(), Ok(StandIn::QemuImg));
        assert!("mke2fs".parse::<StandIn>().unwrap_err().contains("qemu-img"));
    }
}
