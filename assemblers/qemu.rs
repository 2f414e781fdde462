//! Make a bootable disk with partitions, in the format of a hypervisor.
//!
//! The partition table is sfdisk's: what has no start begins at the first free whole MiB, what has no size takes what is
//! free. Without `partitions` a DOS table has one bootable partition with the whole tree. File systems hold what lies below
//! their mount points; a directory for one that the tree lacks is made. No loop device, no mount and no `qemu-img` takes
//! part, and the same tree, options and source epoch give the same bytes.
//!
//! The boot loader `grub2` is made by grub-mkimage of the build root (`grub2-mkimage`, or else `grub-mkimage`) from its
//! modules in `/usr/lib/grub`: on `i386-pc` it goes behind a DOS table or into a GPT's BIOS boot partition, on
//! `powerpc-ieee1275` into the PReP partition. A DOS table has it unless `bootloader` says otherwise. `zipl` of the build root is
//! run on the file systems, which the kernel mounts for it: that alone takes the machine's root, or `--in-vm`.
//!
//! In format 2 the name means the stage `org.osbuild.qemu`; there this is `org.osbuild.qemu.assembler`.

use std::path::{Path, PathBuf};

use archive::compress::{self, Settings};
use image::compose::{self, Boot, Content, Spec};
use image::file_system::{self, FileSystem};
use image::format::Identity;
use image::grub_core::{self, Core};
use image::partition_table::{self, Entry};
use image::{fat, format, qcow2, vhd, vmdk};
use module::{Args, Context, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::disk_image::{self, Form};

mod zipl;

/// Options of `org.osbuild.qemu`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["root_fs_uuid"]}, {"required": ["pttype", "partitions"]}]))]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The boot loader.
    bootloader: Option<Bootloader>,
    /// The format of the file; `vpc` is Virtual PC's and Azure's, of fixed size.
    format: Format,
    /// Version of the qcow2 format: "0.10" for readers before QEMU 1.1, else "1.1".
    qcow2_compat: Option<String>,
    /// How a vmdk is laid out in files.
    vmdk_subformat: Option<Subformat>,
    /// Name of the file that is made.
    filename: String,
    /// The partitions.
    partitions: Option<Vec<Partition>>,
    /// The table's identifier: a UUID, or of a DOS table a number such as `0x14fc63d2`.
    ptuuid: String,
    /// The kind of table; `mbr` is `dos`, which is the default.
    pttype: Option<Label>,
    /// UUID of the root file system, where there are no `partitions`.
    root_fs_uuid: Option<String>,
    /// Size of the whole disk in bytes, a multiple of 512.
    size: i64,
    /// The kind of the root file system, where there are no `partitions`.
    #[schemars(extend("default" = "ext4"))]
    root_fs_type: Option<RootType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Bootloader {
    /// Which one.
    #[serde(rename = "type")]
    kind: Option<Loader>,
    /// GRUB's name of the machine: `i386-pc` or `powerpc-ieee1275`.
    platform: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Loader {
    Grub2,
    Zipl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Raw,
    #[serde(rename = "raw.xz")]
    RawXz,
    Qcow2,
    Vdi,
    Vmdk,
    Vpc,
    Vhdx,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Subformat {
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Mbr,
    Dos,
    Gpt,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Partition {
    /// Mark it as the one to boot from (DOS).
    bootable: Option<bool>,
    /// Its name (GPT).
    name: Option<String>,
    /// Its size in sectors.
    size: Option<i64>,
    /// Its first sector.
    start: Option<i64>,
    /// Its type: a GUID (GPT), a hexadecimal number (DOS), or a short form such as `L`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its GUID (GPT).
    uuid: Option<String>,
    /// What is on it.
    filesystem: Option<Filesystem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Filesystem {
    /// Its label.
    label: Option<String>,
    /// The directory of the tree that is its root.
    mountpoint: String,
    /// The kind of file system.
    #[serde(rename = "type")]
    kind: Type,
    /// Its UUID; of a FAT file system its volume id.
    uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Type {
    Ext4,
    Xfs,
    Vfat,
    Btrfs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RootType {
    Ext4,
    Xfs,
    Btrfs,
}

module::assembler! {
    file: "qemu.rs", name: "org.osbuild.qemu", options: Options, run: run,
    aliases: ["org.osbuild.qemu.assembler"],
    needs: [Mounts, LoopDevicesForZipl, Tools],
    libraries: [image::SOURCE_DIGEST, archive::SOURCE_DIGEST, include_str!("disk_image.rs"), include_str!("qemu/zipl.rs")],
}

/// Where GRUB finds its configuration and modules.
const GRUB: &str = "/boot/grub2";
const OPEN_FIRMWARE: &str = "powerpc-ieee1275";

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let (form, label) = (options.form()?, options.label());
    let size = u64::try_from(options.size).with_context(|| format!("`size` is {}", options.size))?;
    let identity = Identity {
        // the same options give the same disk the same identity
        uuid: Uuid::new_v5(&Uuid::NAMESPACE_OID, options.ptuuid.as_bytes()),
        time: disk_image::epoch(&args)?,
    };
    let single;
    let partitions = match &options.partitions {
        Some(partitions) => partitions,
        None => {
            single = [options.single()?];
            &single[..]
        }
    };
    let table = match label {
        Label::Gpt => partition_table::Label::gpt(&options.ptuuid),
        Label::Dos | Label::Mbr => partition_table::Label::dos(&options.ptuuid),
    };
    let spec = Spec {
        size: Some(size),
        label: table.context("ptuuid")?,
        partitions: partitions
            .iter()
            .enumerate()
            .map(|(index, part)| {
                part.of_image(&args.tree)
                    .with_context(|| format!("partitions[{index}]"))
            })
            .collect::<Result<_>>()?,
        boot: options.boot(label, partitions)?,
        epoch: identity.time,
    };
    disk_image::make(args.output()?, &options.filename, &form, identity, |file| {
        let disk = compose::compose(file, &spec)?;
        if options.loader() == Some(Loader::Zipl) {
            zipl::install(&disk, &mounts(partitions))?;
        }
        Ok(disk)
    })
}

/// The numbers of partitions with file systems, and where these are mounted.
fn mounts(partitions: &[Partition]) -> Vec<(u64, &str)> {
    let numbered = (1..).zip(partitions);
    numbered
        .filter_map(|(number, part)| Some((number, part.filesystem.as_ref()?.mountpoint.as_str())))
        .collect()
}

impl Options {
    fn loader(&self) -> Option<Loader> {
        self.bootloader.as_ref().and_then(|loader| loader.kind)
    }

    fn label(&self) -> Label {
        self.pttype.unwrap_or(Label::Dos)
    }

    fn form(&self) -> Result<Form> {
        let xz = Settings {
            compression: Some(compress::Compression::Xz),
            level: Some(0),
            size: None,
        };
        let version_2 = match self.qcow2_compat.as_deref() {
            Some("0.10" | "v2") => true,
            Some("1.1" | "v3" | "") | None => false,
            Some(other) => bail!("qcow2_compat: `{other}` is neither \"0.10\" nor \"1.1\""),
        };
        Ok(match self.format {
            Format::Raw => Form::Raw(Settings::default()),
            Format::RawXz => Form::Raw(xz),
            Format::Qcow2 => Form::In(format::Format::Qcow2(qcow2::Options {
                version_2,
                ..Default::default()
            })),
            Format::Vdi => Form::In(format::Format::Vdi),
            Format::Vhdx => Form::In(format::Format::Vhdx),
            Format::Vpc => Form::In(format::Format::Vhd {
                kind: vhd::Kind::Fixed,
                rounding: vhd::Rounding::Azure,
            }),
            Format::Vmdk => Form::In(format::Format::Vmdk {
                subformat: self.vmdk_subformat.map(Into::into).unwrap_or_default(),
                adapter: vmdk::Adapter::Ide,
                compat6: false,
            }),
        })
    }

    /// The partition that there is when nobody names any.
    fn single(&self) -> Result<Partition> {
        let uuid = self.root_fs_uuid.clone();
        Ok(Partition {
            bootable: Some(true),
            kind: (self.label() != Label::Gpt).then(|| "83".into()),
            filesystem: Some(Filesystem {
                label: None,
                mountpoint: "/".into(),
                kind: match self.root_fs_type {
                    None | Some(RootType::Ext4) => Type::Ext4,
                    Some(RootType::Xfs) => Type::Xfs,
                    Some(RootType::Btrfs) => Type::Btrfs,
                },
                uuid: uuid.context("`root_fs_uuid` is missing, and there are no `partitions`")?,
            }),
            ..Partition::default()
        })
    }

    fn boot(&self, label: Label, partitions: &[Partition]) -> Result<Option<Boot>> {
        let loader = self.loader();
        let platform = self
            .bootloader
            .as_ref()
            .and_then(|loader| loader.platform.as_deref());
        let platform = platform.unwrap_or(grub_core::BIOS);
        match loader {
            Some(Loader::Zipl) => {
                zipl::check()?;
                return Ok(None);
            }
            None if label == Label::Gpt => return Ok(None),
            Some(Loader::Grub2) | None => {}
        }
        let on = |path: &str| {
            let here = |part: &Partition| {
                part.filesystem
                    .as_ref()
                    .is_some_and(|system| system.mountpoint == path)
            };
            partitions.iter().position(here)
        };
        let index = on("/boot").or_else(|| on("/"));
        let Some((index, system)) =
            index.and_then(|index| Some((index, partitions[index].filesystem.as_ref()?)))
        else {
            bail!(
                "bootloader: no partition is mounted at /boot or / for GRUB to read its configuration from"
            );
        };
        let (name, table) = match label {
            Label::Gpt => ("gpt", "part_gpt"),
            Label::Dos | Label::Mbr => ("msdos", "part_msdos"),
        };
        let reads =
            grub_core::module_of(system.kind.name()).context("GRUB cannot read the file system of /boot")?;
        let prefix = prefix(name, index, &system.mountpoint);
        println!("GRUB's directory is {prefix}");
        let disk = (platform == grub_core::BIOS).then_some("biosdisk");
        let core = Core {
            binary: None,
            platform,
            format: None,
            prefix: &prefix,
            modules: disk.into_iter().chain([table, reads]).collect(),
        };
        let made = match platform {
            grub_core::BIOS => Boot::Bios(core.blocks().context("bootloader")?),
            OPEN_FIRMWARE => Boot::Prep(core.make().context("bootloader")?),
            other => bail!("bootloader: GRUB is not installed by blocks on `{other}`"),
        };
        Ok(Some(made))
    }
}

/// Where GRUB's directory is in its words: on the partition with this index, which is mounted there.
fn prefix(table: &str, index: usize, mountpoint: &str) -> String {
    let grub = Path::new(GRUB);
    let below = grub.strip_prefix(mountpoint).unwrap_or(grub);
    format!("(,{table}{})/{}", index + 1, below.display())
}

impl Partition {
    fn of_image<'a>(&self, tree: &'a Tree) -> Result<compose::Partition<'a>> {
        // 0 means the same as nothing
        let sectors = |value: Option<i64>, name: &str| -> Result<Option<u64>> {
            let value = value.filter(|value| *value != 0);
            let value =
                value.map(|value| u64::try_from(value).with_context(|| format!("`{name}` is {value}")));
            value.transpose()
        };
        let guid = self.uuid.as_deref().filter(|text| !text.is_empty());
        let content = self.filesystem.as_ref().map(|system| system.of_image(tree));
        Ok(compose::Partition {
            entry: Entry {
                start: sectors(self.start, "start")?,
                size: sectors(self.size, "size")?,
                kind: self.kind.clone().filter(|kind| !kind.is_empty()),
                bootable: self.bootable.unwrap_or(false),
                name: self.name.clone().unwrap_or_default(),
                guid: guid.map(|text| disk_image::uuid(text, "uuid")).transpose()?,
                ..Entry::default()
            },
            content: content.transpose().context("filesystem")?,
        })
    }
}

impl Filesystem {
    fn of_image<'a>(&self, tree: &'a Tree) -> Result<Content<'a>> {
        ensure!(
            self.mountpoint.starts_with('/'),
            "mountpoint: `{}` does not begin with a slash",
            self.mountpoint
        );
        let kind = match self.kind {
            Type::Ext4 => file_system::Kind::Ext4,
            Type::Xfs => file_system::Kind::Xfs,
            Type::Vfat => file_system::Kind::Fat,
            Type::Btrfs => file_system::Kind::Btrfs,
        };
        Ok(Content {
            file_system: FileSystem {
                label: self.label.clone().filter(|label| !label.is_empty()),
                fat: fat::Width::OfMkfs,
                ..FileSystem::new(
                    kind,
                    disk_image::file_system_uuid(kind, &self.uuid).context("uuid")?,
                )
            },
            from: Some((tree, PathBuf::from(self.mountpoint.trim_matches('/')))),
        })
    }
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
            Self::Btrfs => "btrfs",
        }
    }
}

impl From<Subformat> for vmdk::Subformat {
    fn from(subformat: Subformat) -> Self {
        match subformat {
            Subformat::MonolithicSparse => Self::MonolithicSparse,
            Subformat::MonolithicFlat => Self::MonolithicFlat,
            Subformat::TwoGbMaxExtentSparse => Self::TwoGbMaxExtentSparse,
            Subformat::TwoGbMaxExtentFlat => Self::TwoGbMaxExtentFlat,
            Subformat::StreamOptimized => Self::StreamOptimized,
        }
    }
}

#[cfg(test)]
mod tests;
