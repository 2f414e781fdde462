//! Run commands at the first boot.
//!
//! Writes `osbuild-first-boot.service` to `/usr/lib/systemd/system`, links it into `default.target.wants`, and leaves
//! `/etc/osbuild-first-boot`, without which the service does nothing. Its first command removes that file.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const DIR: &str = "usr/lib/systemd/system";
const UNIT: &str = "osbuild-first-boot.service";
const STAMP: &str = "etc/osbuild-first-boot";
const NETWORK: &str = "Wants=network-online.target\nAfter=network-online.target";

/// Options of `org.osbuild.first-boot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What to run, in this order, as `ExecStart=` takes it; a command that fails is the last one.
    commands: Vec<String>,
    /// Wait until the network is up.
    #[serde(default)]
    wait_for_network: bool,
}

module::stage! { file: "first_boot.rs", name: "org.osbuild.first-boot", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let tree = &args.tree;
    let wants = format!("{DIR}/default.target.wants");
    tree.mkdir_all(&wants)?;
    tree.write(format!("{DIR}/{UNIT}"), unit(&args.options))?;
    tree.symlink(format!("../{UNIT}"), format!("{wants}/{UNIT}"))?;
    tree.mkdir_all("etc")?;
    Ok(tree.append(STAMP, "")?)
}

fn unit(options: &Options) -> String {
    let network = if options.wait_for_network { NETWORK } else { "" };
    let mut text = format!(
        "[Unit]\nDescription=OSBuild First Boot Service\nConditionPathExists=/{STAMP}\n{network}\n\n[Service]\n\
         Type=oneshot\n\nExecStart=/usr/bin/rm /{STAMP}\n"
    );
    for command in &options.commands {
        text.push_str(&format!("ExecStart={command}\n"));
    }
    text
}
