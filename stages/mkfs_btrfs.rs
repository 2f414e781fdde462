//! Make a btrfs file system.
//!
//! With `mkfs.btrfs` of the build root. To be filled it is mounted by the kernel, as root.

use image::other_fs::{self, Kind};
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

/// Options of `org.osbuild.mkfs.btrfs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file system's UUID.
    uuid: String,
    /// Its label.
    #[schemars(length(max = 256))]
    label: Option<String>,
    /// How metadata is kept: once, or twice.
    metadata: Option<Profile>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Profile {
    Single,
    Dup,
}

module::stage! {
    file: "mkfs_btrfs.rs", name: "org.osbuild.mkfs.btrfs", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let uuid = disk::uuid(&args.options.uuid, "uuid")?;
    let mut words = vec!["-U".to_owned(), uuid.to_string()];
    if let Some(label) = disk::label(args.options.label.as_deref(), 255)? {
        words.extend(["-L".to_owned(), label]);
    }
    if let Some(profile) = args.options.metadata {
        let name = match profile {
            Profile::Single => "single",
            Profile::Dup => "dup",
        };
        words.extend(["-m".to_owned(), name.to_owned()]);
    }
    let epoch = disk::epoch(&args)?;
    target.make_whole(|whole| Ok(other_fs::format(whole, Kind::Btrfs, &words, None, epoch)?))
}
