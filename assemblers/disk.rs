//! Make a disk from a list of partitions, file systems and directories.
//!
//! One step from trees to a disk in any format: the partition table, the file systems filled with what lies below their
//! mount points, GRUB's boot blocks. What lies below the mount point of another partition's file system is left out of the
//! one around it, where an empty directory stays. No loop device, no mount and no boot loader of the host takes part.
//!
//! File systems hold the pipeline's tree, or that of the input that `input` names: an A/B system, a disk of data beside the
//! system's. xfs and btrfs are filled by their own tools, which must be new enough for that (xfsprogs 6.17, btrfs-progs
//! 6.12); erofs and squashfs are made by theirs.
//!
//! A partition without a size gets what its content comfortably has; if the disk has one, the last of them gets what is
//! left. A file system whose tree has no directory where it is mounted is empty.
//!
//! With a partition of type `bios` GRUB's `boot.img` and `core.img` are taken from `/boot/grub/i386-pc` or
//! `/boot/grub2/i386-pc` of the tree. On a DOS table `core.img` goes between table and first partition, if `boot_blocks`
//! names their directory.
//!
//! What has no UUID gets one that derives from the stage: the same stage gives the same bytes.

use std::path::PathBuf;

use archive::compress::{self, Settings};
use image::compose::{self, Boot, Content, Spec};
use image::file_system::{self, FileSystem};
use image::format::Identity;
use image::partition_table::{self, Entry};
use image::{BootBlocks, format, gpt, qcow2, vhd, vmdk};
use module::{Args, Context, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::disk_image::{self, Form, Size};

/// Options of `org.osbuild.disk`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file that is made.
    #[schemars(extend("pattern" = "^[^/]+$"))]
    filename: String,
    /// Its format: "vhd" is Virtual PC's and Azure's, of fixed size.
    #[serde(default)]
    #[schemars(extend("default" = "raw"))]
    format: Format,
    /// How it is compressed. A raw file: not at all by default, or with "xz", "zstd" or "gzip". qcow2: with "zlib" by
    /// default, or "zstd". vmdk: not at all by default, or with "zlib", as streamOptimized. The others cannot be.
    compression: Option<Compression>,
    /// Size of the whole disk: bytes (a multiple of 512), or a text such as "10 GiB". By default what the partitions take.
    size: Option<Size>,
    /// The kind of partition table.
    #[serde(default)]
    #[schemars(extend("default" = "gpt"))]
    label: Label,
    /// The table's identifier: a UUID, or of a DOS table a number such as `0x14fc63d2`.
    uuid: Option<String>,
    /// The partitions, in their order on the disk.
    partitions: Vec<Partition>,
    /// The directory of the tree that has GRUB's `boot.img` and `core.img`.
    boot_blocks: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Raw,
    Qcow2,
    Vmdk,
    Vhd,
    Vhdx,
    Vdi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compression {
    None,
    Zlib,
    Gzip,
    Xz,
    Zstd,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    #[default]
    Gpt,
    Dos,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Partition {
    /// Its type: "linux" (the default), "esp", "bios" (for GRUB on a PC with a BIOS), "xbootldr", "swap", "home", "raid",
    /// "lvm", a GUID (GPT), or a hexadecimal number (DOS).
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its name (GPT).
    name: Option<String>,
    /// Its number, where they are not simply counted.
    #[schemars(range(min = 1, max = 128))]
    number: Option<usize>,
    /// Where it begins on the disk: bytes, or a text such as "1 MiB". By default at the first free whole MiB.
    start: Option<Size>,
    /// Its size.
    size: Option<Size>,
    /// Its GUID (GPT).
    uuid: Option<String>,
    /// Mark it as the one to boot from (DOS).
    #[serde(default)]
    bootable: bool,
    /// Bits of its attributes (GPT).
    #[schemars(inner(range(min = 0, max = 63)), extend("uniqueItems" = true))]
    #[serde(default)]
    attrs: Vec<u8>,
    /// What is on it; nothing without this.
    filesystem: Option<Filesystem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filesystem {
    /// The kind of file system.
    #[serde(rename = "type")]
    kind: Kind,
    /// Its UUID; of a FAT file system eight hexadecimal digits will do.
    uuid: Option<String>,
    /// Its label.
    label: Option<String>,
    /// The directory of the tree that is its root: `/`, `/boot`, `/boot/efi`. An empty file system without one.
    #[schemars(extend("pattern" = "^/"))]
    mountpoint: Option<String>,
    /// The input whose tree it holds; the pipeline's tree without one.
    input: Option<String>,
    /// How an erofs ("lz4hc", "zstd,9") or a squashfs ("xz", "zstd") is compressed, in the tool's words. By default erofs is
    /// not, squashfs is with gzip.
    compression: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Ext4,
    Xfs,
    Btrfs,
    Fat,
    Erofs,
    Squashfs,
    Swap,
}

module::assembler! {
    file: "disk.rs", name: "org.osbuild.disk", options: Options, run: run,
    needs: [Mounts, Tools],
    libraries: [image::SOURCE_DIGEST, archive::SOURCE_DIGEST, include_str!("disk_image.rs")],
}

/// Type of an extended boot loader partition (Boot Loader Specification).
const XBOOTLDR: &str = "BC13C2FF-59E6-4262-A352-B275FD6F7172";

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let form = options.form()?;
    let seed = args.meta.id.as_deref().unwrap_or(&options.filename);
    let stage = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
    let identity = Identity {
        uuid: stage,
        time: disk_image::epoch(&args)?,
    };
    let inputs = Inputs::open(&args)?;
    let mut partitions = Vec::new();
    for (index, partition) in options.partitions.iter().enumerate() {
        let derived = Uuid::new_v5(&stage, format!("file system {index}").as_bytes());
        let made = partition.of_image(options.label, &inputs, derived);
        partitions.push(made.with_context(|| format!("partitions[{index}]"))?);
    }
    let spec = Spec {
        size: options
            .size
            .as_ref()
            .map(Size::bytes)
            .transpose()
            .context("size")?,
        label: options.table(stage)?,
        partitions,
        boot: options.boot(&args.tree)?,
        epoch: identity.time,
    };
    disk_image::make(args.output()?, &options.filename, &form, identity, |file| {
        Ok(compose::compose(file, &spec)?)
    })
}

/// The trees that file systems may hold.
struct Inputs<'a> {
    tree: &'a Tree,
    named: Vec<(&'a str, Tree)>,
}

impl<'a> Inputs<'a> {
    fn open(args: &'a Args<Options>) -> Result<Self> {
        let systems = args
            .options
            .partitions
            .iter()
            .filter_map(|part| part.filesystem.as_ref());
        let mut named: Vec<(&str, Tree)> = Vec::new();
        for name in systems.filter_map(|system| system.input.as_deref()) {
            if !named.iter().any(|(other, _)| *other == name) {
                named.push((name, args.input(name)?.tree()?));
            }
        }
        Ok(Self {
            tree: &args.tree,
            named,
        })
    }

    fn tree(&self, name: Option<&str>) -> &Tree {
        let found = self.named.iter().find(|(other, _)| Some(*other) == name);
        found.map_or(self.tree, |(_, tree)| tree)
    }
}

impl Options {
    fn form(&self) -> Result<Form> {
        use compress::Compression as Raw;
        let raw = |compression: Option<Raw>| Form::Raw(Settings::from(compression));
        let qcow2 = |compression| {
            Form::In(format::Format::Qcow2(qcow2::Options {
                compression,
                ..Default::default()
            }))
        };
        let vmdk = |subformat| {
            Form::In(format::Format::Vmdk {
                subformat,
                adapter: vmdk::Adapter::LsiLogic,
                compat6: false,
            })
        };
        Ok(match (self.format, self.compression) {
            (Format::Raw, None | Some(Compression::None)) => raw(None),
            (Format::Raw, Some(Compression::Gzip)) => raw(Some(Raw::Gzip)),
            (Format::Raw, Some(Compression::Xz)) => raw(Some(Raw::Xz)),
            (Format::Raw, Some(Compression::Zstd)) => raw(Some(Raw::Zstd)),
            (Format::Qcow2, None | Some(Compression::Zlib)) => qcow2(qcow2::Compression::Zlib),
            (Format::Qcow2, Some(Compression::Zstd)) => qcow2(qcow2::Compression::Zstd),
            (Format::Qcow2, Some(Compression::None)) => qcow2(qcow2::Compression::None),
            (Format::Vmdk, None | Some(Compression::None)) => vmdk(vmdk::Subformat::MonolithicSparse),
            (Format::Vmdk, Some(Compression::Zlib)) => vmdk(vmdk::Subformat::StreamOptimized),
            (Format::Vhd, None | Some(Compression::None)) => Form::In(format::Format::Vhd {
                kind: vhd::Kind::Fixed,
                rounding: vhd::Rounding::Azure,
            }),
            (Format::Vhdx, None | Some(Compression::None)) => Form::In(format::Format::Vhdx),
            (Format::Vdi, None | Some(Compression::None)) => Form::In(format::Format::Vdi),
            (format, Some(compression)) => {
                let [format, compression] =
                    [format!("{format:?}"), format!("{compression:?}")].map(|name| name.to_lowercase());
                bail!("compression: the format {format} knows no {compression}")
            }
        })
    }

    fn table(&self, stage: Uuid) -> Result<partition_table::Label> {
        let derived = Uuid::new_v5(&stage, b"partition table");
        Ok(match (self.label, self.uuid.as_deref()) {
            (Label::Gpt, None) => partition_table::Label::Gpt { guid: derived },
            (Label::Gpt, Some(text)) => partition_table::Label::gpt(text).context("uuid")?,
            (Label::Dos, None) => partition_table::Label::Dos {
                signature: derived.as_fields().0,
            },
            (Label::Dos, Some(text)) => partition_table::Label::dos(text).context("uuid")?,
        })
    }

    fn boot(&self, tree: &Tree) -> Result<Option<Boot>> {
        let has_place = self.partitions.iter().any(Partition::is_bios);
        let found = match &self.boot_blocks {
            Some(dir) => {
                let found = BootBlocks::in_dir(tree, dir.trim_start_matches('/')).context("boot_blocks")?;
                ensure!(
                    found.is_some(),
                    "boot_blocks: the tree has no boot.img and core.img in {dir}"
                );
                found
            }
            None if has_place => {
                let found = BootBlocks::of(tree)?;
                ensure!(
                    found.is_some(),
                    "there is a partition for GRUB's boot blocks, but the tree has no boot.img and core.img in \
                     /boot/grub/i386-pc or /boot/grub2/i386-pc: leave it out, or install GRUB"
                );
                found
            }
            None => None,
        };
        Ok(found.map(Boot::Bios))
    }
}

impl Partition {
    fn is_bios(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        kind == "bios" || kind.eq_ignore_ascii_case(&gpt::TYPE_BIOS_BOOT.to_string())
    }

    fn of_image<'a>(
        &self,
        label: Label,
        inputs: &'a Inputs<'_>,
        derived: Uuid,
    ) -> Result<compose::Partition<'a>> {
        let sectors = |size: &Option<Size>, name| -> Result<Option<u64>> {
            let bytes = size.as_ref().map(Size::bytes).transpose().context(name)?;
            Ok(bytes.map(|bytes| bytes / gpt::SECTOR))
        };
        let guid = self.uuid.as_deref();
        let mut entry = Entry {
            number: self.number,
            start: sectors(&self.start, "start")?,
            size: sectors(&self.size, "size")?,
            kind: self.kind.as_deref().map(|kind| type_of(kind, label)),
            bootable: self.bootable,
            name: self.name.clone().unwrap_or_default(),
            guid: guid.map(|text| disk_image::uuid(text, "uuid")).transpose()?,
            attributes: self.attrs.iter().fold(0, |all, bit| all | 1 << (bit % 64)),
        };
        if self.is_bios() && entry.size.is_none() {
            entry.size = Some((1 << 20) / gpt::SECTOR);
        }
        let content = self.filesystem.as_ref();
        Ok(compose::Partition {
            entry,
            content: content
                .map(|system| system.of_image(inputs, derived).context("filesystem"))
                .transpose()?,
        })
    }
}

/// In sfdisk's words.
fn type_of(kind: &str, label: Label) -> String {
    match (kind, label) {
        ("esp", _) => "uefi".into(),
        ("bios", Label::Gpt) => gpt::TYPE_BIOS_BOOT.to_string(),
        ("xbootldr", Label::Gpt) => XBOOTLDR.into(),
        ("xbootldr", Label::Dos) => "ea".into(),
        _ => kind.into(),
    }
}

impl Filesystem {
    fn of_image<'a>(&self, inputs: &'a Inputs<'_>, derived: Uuid) -> Result<Content<'a>> {
        let kind = self.kind.of_image();
        let uuid = match &self.uuid {
            Some(text) => disk_image::file_system_uuid(kind, text).context("uuid")?,
            None => derived,
        };
        ensure!(
            self.compression.is_none() || matches!(self.kind, Kind::Erofs | Kind::Squashfs),
            "compression: only erofs and squashfs are compressed as a whole"
        );
        ensure!(
            self.mountpoint.is_none() || self.kind != Kind::Swap,
            "mountpoint: a swap area has no files"
        );
        ensure!(
            self.mountpoint.is_some() || self.input.is_none(),
            "input: without a `mountpoint` nothing of it is taken"
        );
        let tree = inputs.tree(self.input.as_deref());
        let below = |path: &String| PathBuf::from(path.trim_matches('/'));
        Ok(Content {
            file_system: FileSystem {
                label: self.label.clone().filter(|label| !label.is_empty()),
                compression: self.compression.clone(),
                ..FileSystem::new(kind, uuid)
            },
            from: self.mountpoint.as_ref().map(|path| (tree, below(path))),
        })
    }
}

impl Kind {
    fn of_image(self) -> file_system::Kind {
        match self {
            Self::Ext4 => file_system::Kind::Ext4,
            Self::Xfs => file_system::Kind::Xfs,
            Self::Btrfs => file_system::Kind::Btrfs,
            Self::Fat => file_system::Kind::Fat,
            Self::Erofs => file_system::Kind::Erofs,
            Self::Squashfs => file_system::Kind::Squashfs,
            Self::Swap => file_system::Kind::Swap,
        }
    }
}

#[cfg(test)]
mod tests;
