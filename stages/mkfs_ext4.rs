//! Make an ext4 file system.
//!
//! With `mke2fs` of the build root and features that do not depend on its version or configuration: blocks of 4 KiB (2 KiB
//! below 16 MiB), inodes of 256 bytes, checksums, and what the options ask for. Nothing of it depends on the time or on
//! chance. Inode tables and journal are complete, whatever `lazy_init` says: in a fresh image they are holes.

use image::ext4::{self, Features};
use image::size::usage;
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Content, Target};

/// Options of `org.osbuild.mkfs.ext4`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file system's UUID.
    uuid: String,
    /// Its label.
    #[schemars(length(max = 16))]
    label: Option<String>,
    /// Whether the kernel may finish inode tables and journal later on.
    #[serde(default, rename = "lazy_init")]
    _lazy_init: Option<bool>,
    /// Keep the seed of the checksums apart from the UUID.
    metadata_csum_seed: Option<bool>,
    /// Have a file for orphaned inodes.
    orphan_file: Option<bool>,
    /// Allow files to be sealed with fs-verity.
    verity: Option<bool>,
}

module::stage! {
    file: "mkfs_ext4.rs", name: "org.osbuild.mkfs.ext4", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let epoch = disk::epoch(&args)?;
    let content = Content::of(&target)?;
    if content.is_new {
        content.tree.mkdir("lost+found", 0o700)?;
        content.tree.set_mtime("lost+found", epoch.unwrap_or(0), 0)?;
        content.settle(epoch)?;
    }
    let options = ext4::Options {
        uuid: disk::uuid(&args.options.uuid, "uuid")?,
        label: disk::label(args.options.label.as_deref(), 16)?,
        offset: target.start,
        size: target.size,
        epoch,
    };
    let features = Features {
        verity: args.options.verity == Some(true),
        orphan_file: args.options.orphan_file == Some(true),
        metadata_csum_seed: args.options.metadata_csum_seed == Some(true),
    };
    target.clear()?;
    let usage = usage(&content.tree, None)?;
    ext4::write_with(&target.image, &content.tree, &usage, &options, features)?;
    args.makes_file_system("device", "ext4")
}
