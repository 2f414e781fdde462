//! Let Ignition run at the first boot.
//!
//! Makes `ignition.firstboot`, which GRUB looks for; with `network`, it sets the kernel arguments for the network that
//! GRUB takes from it.

use module::{Args, Location, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.ignition`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Kernel arguments for the network of the first boot.
    #[serde(default)]
    network: Vec<String>,
    /// Where `/boot` is: `tree:///…` or `mount://NAME/…`.
    #[serde(default = "boot")]
    target: String,
}

module::stage! { file: "ignition.rs", name: "org.osbuild.ignition", options: Options, run: run }

fn boot() -> String {
    "tree:///boot".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Location::parse(&args.options.target)?;
    let network = &args.options.network;
    let text = if network.is_empty() {
        String::new()
    } else {
        format!("set ignition_network_kcmdline='{}'", network.join(" "))
    };
    let path = format!("{}/ignition.firstboot", target.path());
    Ok(target.root(&args)?.write(path, text)?)
}
