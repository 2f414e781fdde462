//! Install GRUB for machines without UEFI: with a BIOS, or with Open Firmware.
//!
//! Makes GRUB's core image with `grub2-mkimage` of the build root (`core.binary`; where there is no `grub2-mkimage`, with
//! `grub-mkimage`) and its modules in `/usr/lib/grub/PLATFORM`, and writes it to the file `filename` from the sector
//! `location` on: into the gap before the first partition, a BIOS boot partition, a PReP partition. On `i386-pc` the boot
//! code in sector 0 is made to load it; the partition table there stays. As grub-install does, it is also made to take any
//! drive number of a BIOS for a hard disk.
//!
//! Without `location` the file becomes the core image itself, as El Torito wants it.

use image::grub_core::{BIOS, Core};
use image::{SparseFile, grub_bios};
use module::{Args, Context, Result, ensure};
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
    core: CoreOptions,
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
struct CoreOptions {
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
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, common::SOURCE],
}

/// The boot sector, whatever the disk's sectors are.
const BOOT: usize = 512;

fn sector() -> Whole {
    Whole(512)
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let prefix = options.prefix.text();
    let core_image = options.core_image(&prefix);
    let core = core_image.make()?;
    let file = options.filename.trim_start_matches('/');
    let Some(location) = options.location.filter(|location| *location != 0) else {
        return Ok(args.tree.write(file, core)?);
    };
    let location = u64::try_from(location).with_context(|| format!("`location` is {location}"))?;
    let fd = args.tree.open_at(file, OFlags::RDWR, 0)?;
    let disk = SparseFile::open(fd.into())?;
    if options.platform == BIOS {
        install_bios(&disk, &core_image.boot()?, &core, location, options.sector_size)
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

impl Options {
    fn core_image<'a>(&'a self, prefix: &'a str) -> Core<'a> {
        let eltorito = matches!(self.core.filesystem, Filesystem::Iso9660);
        Core {
            binary: self.core.binary.as_deref(),
            platform: &self.platform,
            format: eltorito.then_some("i386-pc-eltorito"),
            prefix,
            modules: self.modules(),
        }
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
