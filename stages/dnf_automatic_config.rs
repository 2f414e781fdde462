//! Configure DNF's automatic updates.
//!
//! Sets options in `/etc/dnf/automatic.conf`; all else in the file stays. Where there is no file, one is made in the
//! directory, which must be there.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, IniFile, plain};

const FILE: &str = "etc/dnf/automatic.conf";

/// Options of `org.osbuild.dnf-automatic.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Section → settings.
    config: Option<InOrder<Config>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    /// The section `commands`.
    commands: Option<Commands>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Commands {
    /// Whether updates are installed, not only downloaded.
    apply_updates: Option<bool>,
    /// Which updates.
    upgrade_type: Option<UpgradeType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum UpgradeType {
    Default,
    Security,
}

module::stage! {
    file: "dnf_automatic_config.rs", name: "org.osbuild.dnf-automatic.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Some(config) = &args.options.config else {
        return Ok(());
    };
    let mut file = IniFile::read(&args.tree, FILE)?.unwrap_or_default();
    for (section, settings) in config.iter() {
        for (key, value) in settings.as_object().into_iter().flatten() {
            file.set(section, key, &plain(value, ("no", "yes"), ", "));
        }
    }
    Ok(args.tree.write(FILE, file.text())?)
}
