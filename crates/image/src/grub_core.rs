//! GRUB's core image, made by `grub-mkimage` of the build root from its modules in `/usr/lib/grub/PLATFORM`.

use std::path::{Path, PathBuf};

use crate::{BootBlocks, Error, Result, tool};

/// The platform of a PC with a BIOS.
pub const BIOS: &str = "i386-pc";
const MODULES: &str = "/usr/lib/grub";
/// What distributions call the tool.
const NAMES: [&str; 2] = ["grub2-mkimage", "grub-mkimage"];

/// What a core image is to be.
#[derive(Debug, Clone)]
pub struct Core<'a> {
    /// The name of grub-mkimage; `None`: the one that there is.
    pub binary: Option<&'a str>,
    /// GRUB's name of the machine, such as `i386-pc`.
    pub platform: &'a str,
    /// The format, where it is not called like the platform.
    pub format: Option<&'a str>,
    /// Where it finds its configuration and modules, in GRUB's words.
    pub prefix: &'a str,
    /// What it has to have to get there.
    pub modules: Vec<&'a str>,
}

impl Core<'_> {
    /// Makes the image.
    pub fn make(&self) -> Result<Vec<u8>> {
        let failed = Error::io("make GRUB's core image");
        let dir = tempfile::tempdir().map_err(&failed)?;
        let core = dir.path().join("core.img");
        let mut command = tool::command(self.binary.unwrap_or_else(|| found()));
        command
            .args(["--verbose", "--directory"])
            .arg(self.dir())
            .args(["--prefix", self.prefix])
            .args(["--format", self.format.unwrap_or(self.platform)])
            .args(["--compression", "auto", "--output"])
            .arg(&core)
            .args(&self.modules);
        tool::run(&mut command)?;
        let core = std::fs::read(core).map_err(&failed)?;
        println!("the core image has {} bytes", core.len());
        Ok(core)
    }

    /// The platform's boot code.
    pub fn boot(&self) -> Result<Vec<u8>> {
        let path = self.dir().join("boot.img");
        std::fs::read(&path).map_err(|e| Error::unsuitable(format!("cannot read {}: {e}", path.display())))
    }

    /// The image and the boot code that loads it.
    pub fn blocks(&self) -> Result<BootBlocks> {
        Ok(BootBlocks {
            core: self.make()?,
            boot: self.boot()?,
        })
    }

    fn dir(&self) -> PathBuf {
        Path::new(MODULES).join(self.platform)
    }
}

/// The tool that there is, else the first name.
fn found() -> &'static str {
    let is_there = |name: &&&str| {
        tool::PATH
            .split(':')
            .any(|dir| Path::new(dir).join(name).is_file())
    };
    NAMES.iter().find(is_there).unwrap_or(&NAMES[0])
}

/// The module by which GRUB reads a file system of this kind, as mkfs calls it.
pub fn module_of(file_system: &str) -> Option<&'static str> {
    Some(match file_system {
        "ext4" => "ext2",
        "xfs" => "xfs",
        "btrfs" => "btrfs",
        "iso9660" => "iso9660",
        "vfat" => "fat",
        _ => return None,
    })
}
