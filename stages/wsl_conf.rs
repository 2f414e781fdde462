//! Configure the Windows Subsystem for Linux: whether systemd runs.
//!
//! Sets `systemd` of the section `boot` in `/etc/wsl.conf`, which is made where it is not there; the rest of it stays.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, IniFile};

const FILE: &str = "etc/wsl.conf";

/// Options of `org.osbuild.wsl.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Options {
    /// How the system starts.
    boot: Option<Boot>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Boot {
    /// Whether systemd is started.
    #[serde(default)]
    systemd: bool,
}

module::stage! {
    file: "wsl_conf.rs", name: "org.osbuild.wsl.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Some(boot) = &args.options.boot else {
        return Ok(());
    };
    let mut file = IniFile::read(&args.tree, FILE)?.unwrap_or_default();
    file.set("boot", "systemd", if boot.systemd { "true" } else { "false" });
    Ok(args.tree.write(FILE, file.text())?)
}
