//! Configure the agent of Azure's virtual machines.
//!
//! Edits `/etc/waagent.conf`, which the tree must have: the first line of each key is given the new value, comments
//! stay.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, KeyLines};

const FILE: &str = "etc/waagent.conf";
const LINES: KeyLines = KeyLines {
    separator: "=",
    ignore_case: true,
    block: None,
};

/// Options of `org.osbuild.waagent.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The settings.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Whether cloud-init provisions the machine.
    #[serde(rename = "Provisioning.UseCloudInit")]
    use_cloud_init: Option<bool>,
    /// Whether the agent provisions the machine.
    #[serde(rename = "Provisioning.Enabled")]
    provisioning: Option<bool>,
    /// Whether the temporary disk is formatted.
    #[serde(rename = "ResourceDisk.Format")]
    format: Option<bool>,
    /// Whether there is swap on it.
    #[serde(rename = "ResourceDisk.EnableSwap")]
    enable_swap: Option<bool>,
}

module::stage! {
    file: "waagent_conf.rs", name: "org.osbuild.waagent.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let config = &args.options.config;
    let settings = [
        ("Provisioning.UseCloudInit", config.use_cloud_init),
        ("Provisioning.Enabled", config.provisioning),
        ("ResourceDisk.Format", config.format),
        ("ResourceDisk.EnableSwap", config.enable_swap),
    ];
    let word = |value: bool| if value { "y" } else { "n" }.to_owned();
    let given = settings.into_iter();
    let given: Vec<_> = given
        .filter_map(|(key, value)| Some((key, word(value?))))
        .collect();
    let text = args.tree.read_text(FILE)?;
    Ok(args.tree.write(FILE, LINES.set(&text, &given))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_keep_their_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        tree.write(FILE, "# x\nprovisioning.enabled=y\n").unwrap();
        let config = json!({"ResourceDisk.Format": true, "Provisioning.Enabled": false});
        (MODULE.run)(json!({"tree": dir.path(), "options": {"config": config}})).unwrap();
        assert_eq!(
            tree.read_text(FILE).unwrap(),
            "# x\nprovisioning.enabled=n\nResourceDisk.Format=y\n"
        );
    }
}
