//! Make a swap area.
//!
//! Written without a tool, with pages of 4 KiB: what is behind the first page stays as it is, and means nothing.

use image::swap;
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

/// Options of `org.osbuild.mkswap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The area's UUID.
    uuid: String,
    /// Its label.
    #[schemars(length(max = 12))]
    label: Option<String>,
}

module::stage! {
    file: "mkswap.rs", name: "org.osbuild.mkswap", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let label = disk::label(args.options.label.as_deref(), 16)?;
    let uuid = disk::uuid(&args.options.uuid, "uuid")?;
    Ok(swap::write(
        &target.image,
        target.start,
        target.size,
        uuid,
        label.as_deref(),
    )?)
}
