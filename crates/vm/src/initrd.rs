//! The file system that the kernel starts with: the guest's program and the modules it loads.
//!
//! ```text
//! /osbuild-guest          the program, and its libraries where it is not static
//! /modules/001-NAME.ko    in the order in which they are loaded
//! /share                  where the shared file system is mounted
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::kernel::Kernel;
use crate::{Error, Result, guest};

/// The program that runs in the guest, which calls [`guest::enter`] when it is called by the name [`guest::NAME`].
#[derive(Debug, Clone)]
pub struct Agent {
    pub executable: PathBuf,
    /// The dynamic loader by the name that the executable has for it; `None`: it needs no libraries.
    pub interpreter: Option<PathBuf>,
    /// The loader and all libraries; the loader first.
    pub libraries: Vec<PathBuf>,
}

/// Writes it.
pub(crate) fn write(path: &Path, agent: &Agent, kernel: &Kernel) -> Result<()> {
    let file = std::fs::File::create(path).map_err(|e| Error::io("write", path, e))?;
    let mut archive = Archive::new(io::BufWriter::new(file));
    let device = archive.character_device(Path::new("/dev/console"), (5, 1));
    device
        .and_then(|()| archive.directory(Path::new(guest::SHARE)))
        .map_err(|e| Error::io("write", path, e))?;
    let mut bring = |source: &Path, target: &Path| {
        let content = std::fs::read(source).map_err(|e| Error::io("read", source, e))?;
        let written = archive.program(target, &content);
        written.map_err(|e| Error::io("write", path, e))
    };
    bring(&agent.executable, &Path::new("/").join(guest::NAME))?;
    if let Some(interpreter) = &agent.interpreter {
        for (index, library) in agent.libraries.iter().enumerate() {
            let target = if index == 0 { interpreter } else { library };
            bring(library, target)?;
        }
    }
    let modules = Path::new(guest::MODULES);
    let mut all = kernel.modules.iter().enumerate();
    all.try_for_each(|(index, (name, content))| {
        let file = modules.join(format!("{:03}-{name}.ko", index + 1));
        archive.program(&file, content)
    })
    .and_then(|()| archive.directory(modules))
    .and_then(|()| archive.finish()?.flush())
    .map_err(|e| Error::io("write", path, e))
}
