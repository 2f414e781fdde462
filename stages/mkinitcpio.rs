//! Make the initial RAM file systems of a preset with the tree's mkinitcpio.

use module::{Args, Chroot, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.mkinitcpio`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The preset, a file in `/etc/mkinitcpio.d`.
    #[serde(default = "linux")]
    #[schemars(extend("default" = "linux"))]
    preset: String,
}

fn linux() -> String {
    "linux".into()
}

module::stage! {
    file: "mkinitcpio.rs", name: "org.osbuild.mkinitcpio", options: Options, run: run,
    needs: [Chroot],
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    common::link_descriptors()?;
    let mut tool = Chroot::enter(&args.tree)?.tool("mkinitcpio");
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    tool.args(["-p", &args.options.preset]).run()
}
