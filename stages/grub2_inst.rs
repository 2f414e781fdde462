//! Install GRUB for machines without UEFI: with a BIOS, or with Open Firmware.
//!
//! Makes GRUB's core image with `grub2-mkimage` of the build root (`core.binary`; where there is no `grub2-mkimage`, with
//! `grub-mkimage`) and its modules in `/usr/lib/grub/PLATFORM`, and writes it to the file `filename` from the sector
//! `location` on: into the gap before the first partition, a BIOS boot partition, a PReP partition. On `i386-pc` the boot
//! code in sector 0 is made to load it; the partition table there stays. As grub-install does, it is also made to take any
//! drive number of a BIOS for a hard disk.
//!
//! Without `location` the file becomes the core image itself, as El Torito wants it.

use std::path::Path;

use image::{SparseFile, grub_bios};
use module::{Args, Context, Result, Tool, ensure};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Whole};

/// Options of `org.osbuild.grub2.inst`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The disk, a file of the tree.
    filename: String,
    /// GRUB's name of the machine, such as `i386-pc` or `powerpc-ieee1275`.
    platform: String,
    /// The sector that the core image begins at.
    location: Option<i64>,
    /// How the core image is made.
    core: Core,
    /// Where GRUB finds its configuration and modules.
    prefix: Prefix,
    /// Bytes of a sector.
    #[serde(default = "sector", rename = "sector-size")]
    #[schemars(extend("default" = 512))]
    sector_size: Whole,
}

/// What goes into the core image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Core {
    /// By `grub-mkimage`, always.
    #[serde(rename = "type")]
    _kind: Mkimage,
    /// The kind of partition table it can read.
    partlabel: Label,
    /// The file system it can read.
    filesystem: Filesystem,
    /// The name of grub-mkimage.
    #[schemars(extend("default" = "grub2-mkimage"))]
    binary: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mkimage {
    Mkimage,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Gpt,
    Dos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Filesystem {
    Ext4,
    Xfs,
    Btrfs,
    Iso9660,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Prefix {
    Partition(OnPartition),
    Path(Bare),
}

/// A directory of a partition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnPartition {
    #[serde(rename = "type")]
    _kind: Partition,
    /// The kind of partition table.
    partlabel: Label,
    /// The partition, counted from 0.
    number: Whole,
    /// The directory.
    #[schemars(regex(pattern = "/.*"))]
    path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Partition {
    Partition,
}

/// A directory of the medium that is booted from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bare {
    /// The directory.
    #[schemars(regex(pattern = "/.*"))]
    path: String,
}

module::stage! {
    file: "grub2_inst.rs", name: "org.osbuild.grub2.inst", options: Options, run: run,
    libraries: [image::SOURCE_DIGEST, common::SOURCE],
}

const BIOS: &str = "i386-pc";
const MODULES: &str = "/usr/lib/grub";
/// The boot sector, whatever the disk's sectors are.
const BOOT: usize = 512;

fn sector() -> Whole {
    Whole(512)
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let modules = Path::new(MODULES).join(&options.platform);
    let dir = tempfile::tempdir()?;
    let core = dir.path().join("core.img");
    mkimage(options)
        .arg("--output")
        .arg(&core)
        .args(options.modules())
        .run()?;
    let core = std::fs::read(core).context("cannot read the core image")?;
    println!("the core image has {} bytes", core.len());
    let file = options.filename.trim_start_matches('/');
    let Some(location) = options.location.filter(|location| *location != 0) else {
        return Ok(args.tree.write(file, core)?);
    };
    let location = u64::try_from(location).with_context(|| format!("`location` is {location}"))?;
    let fd = args.tree.open_at(file, OFlags::RDWR, 0)?;
    let disk = SparseFile::open(fd.into())?;
    if options.platform == BIOS {
        let boot = modules.join("boot.img");
        let boot = std::fs::read(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
        install_bios(&disk, &boot, &core, location, options.sector_size)
    } else {
        install(&disk, &core, location, options.sector_size)
    }
}

/// Writes the core image and the boot code that loads it.
fn install_bios(disk: &SparseFile, boot: &[u8], core: &[u8], location: u64, sector: Whole) -> Result<()> {
    let start = place(disk, core, location, sector)?;
    let room = (disk.size() - start) / BOOT as u64;
    let core = grub_bios::core_image(core, location, room)?;
    let mut table = [0; BOOT];
    disk.read(&mut table, 0)?;
    disk.write(&core, start)?;
    Ok(disk.write(&grub_bios::boot_sector(boot, &table, location)?, 0)?)
}

fn install(disk: &SparseFile, core: &[u8], location: u64, sector: Whole) -> Result<()> {
    let start = place(disk, core, location, sector)?;
    Ok(disk.write(core, start)?)
}

/// Where the core image begins, in bytes.
fn place(disk: &SparseFile, core: &[u8], location: u64, sector: Whole) -> Result<u64> {
    let start = location.checked_mul(sector.0.into());
    let end = start.and_then(|start| start.checked_add(core.len() as u64));
    let (Some(start), true) = (start, end.is_some_and(|end| end <= disk.size())) else {
        module::bail!("the core image does not fit the disk behind sector {location}");
    };
    ensure!(
        start >= BOOT as u64,
        "`sector-size` is {sector}: the core image would lie in the boot sector"
    );
    Ok(start)
}

fn mkimage(options: &Options) -> Tool {
    let format = match options.core.filesystem {
        Filesystem::Iso9660 => "i386-pc-eltorito",
        _ => &options.platform,
    };
    Tool::new(options.binary())
        .args(["--verbose", "--directory"])
        .arg(Path::new(MODULES).join(&options.platform))
        .args(["--prefix", &options.prefix.text(), "--format", format])
        .args(["--compression", "auto"])
}

impl Options {
    /// The name that is asked for, else the one that there is.
    fn binary(&self) -> &str {
        const NAMES: [&str; 2] = ["grub2-mkimage", "grub-mkimage"];
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
        let is_there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
        let found = || NAMES.iter().find(is_there).unwrap_or(&NAMES[0]);
        self.core.binary.as_deref().unwrap_or_else(|| found())
    }

    /// The modules that the core image needs to find the others.
    fn modules(&self) -> Vec<&'static str> {
        let disk = (self.platform == BIOS).then_some("biosdisk");
        let table = match self.core.partlabel {
            Label::Gpt => "part_gpt",
            Label::Dos => "part_msdos",
        };
        let files = match self.core.filesystem {
            Filesystem::Ext4 => "ext2",
            Filesystem::Xfs => "xfs",
            Filesystem::Btrfs => "btrfs",
            Filesystem::Iso9660 => "iso9660",
        };
        disk.into_iter().chain([table, files]).collect()
    }
}

impl Prefix {
    /// As GRUB has it: the partition of the disk that it was loaded from.
    fn text(&self) -> String {
        match self {
            Self::Path(bare) => bare.path.clone(),
            Self::Partition(OnPartition {
                partlabel,
                number,
                path,
                ..
            }) => {
                let label = match partlabel {
                    Label::Gpt => "gpt",
                    Label::Dos => "msdos",
                };
                let number = u64::from(number.0) + 1;
                format!("(,{label}{number})/{}", path.trim_start_matches('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests;
