//! Make an XFS file system.
//!
//! With `mkfs.xfs` of the build root. One of version 6.17 or later fills it with files as well; with an older one the
//! kernel must mount it for that, as root.

use image::other_fs::{self, Kind};
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Content, Target};

/// Options of `org.osbuild.mkfs.xfs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file system's UUID.
    uuid: String,
    /// Its label.
    #[schemars(length(max = 12))]
    label: Option<String>,
    /// The number of allocation groups.
    agcount: Option<i64>,
}

module::stage! {
    file: "mkfs_xfs.rs", name: "org.osbuild.mkfs.xfs", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let uuid = disk::uuid(&args.options.uuid, "uuid")?;
    let mut words = vec!["-m".to_owned(), format!("uuid={uuid}")];
    if target.sector != 512 {
        words.extend(["-s".to_owned(), format!("size={}", target.sector)]);
    }
    if let Some(label) = disk::label(args.options.label.as_deref(), 12)? {
        words.extend(["-L".to_owned(), label]);
    }
    if let Some(count) = args.options.agcount.filter(|count| *count != 0) {
        words.extend(["-d".to_owned(), format!("agcount={count}")]);
    }
    let fills = target.node.is_none() && other_fs::fills(Kind::Xfs)?;
    let content = Content::of(&target)?;
    let epoch = disk::epoch(&args)?;
    if content.is_new {
        content.settle(epoch)?;
    }
    let tree = fills.then_some(&content.tree);
    target.make_whole(|whole| Ok(other_fs::format(whole, Kind::Xfs, &words, tree, epoch)?))?;
    if fills {
        args.makes_file_system("device", "xfs")?;
    }
    Ok(())
}
