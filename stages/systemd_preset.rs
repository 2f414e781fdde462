//! Say which units systemd enables by itself.
//!
//! Writes `/usr/lib/systemd/system-preset/50-osbuild.preset`, whose directory the tree must have. See
//! systemd.preset(5); to enable a unit in the image itself there is `org.osbuild.systemd`.

use std::collections::BTreeSet;

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "usr/lib/systemd/system-preset/50-osbuild.preset";

/// Options of `org.osbuild.systemd.preset`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The units, each once.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Preset>>", length(min = 1))]
    presets: Vec<Preset>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Preset {
    /// Name of the unit.
    name: String,
    /// What becomes of it.
    #[schemars(extend("enum" = ["enable", "disable"]))]
    state: String,
}

module::stage! { file: "systemd_preset.rs", name: "org.osbuild.systemd.preset", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let presets = &args.options.presets;
    if presets.is_empty() {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    for preset in presets {
        ensure!(
            seen.insert(&preset.name),
            "{} is listed more than once",
            preset.name
        );
    }
    let line = |preset: &Preset| format!("{} {}\n", preset.state, preset.name);
    Ok(args
        .tree
        .write(FILE, presets.iter().map(line).collect::<String>())?)
}
