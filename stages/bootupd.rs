//! Install the boot loaders that bootupd keeps up to date: GRUB for BIOS, GRUB and shim for UEFI.
//!
//! The `bootupctl` of the mounted system (of its OSTree deployment, with `deployment`) installs to all that is mounted.

use std::path::{Path, PathBuf};

use module::{Args, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::sysroot::{self, Binds, Deployment};

/// Options of `org.osbuild.bootupd`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The OSTree deployment that is the system; without this option the root of the mounts is.
    deployment: Option<Deployment>,
    /// Install the GRUB configuration of Fedora CoreOS.
    #[serde(rename = "static-configs")]
    static_configs: bool,
    /// Where GRUB for BIOS goes.
    bios: Option<Bios>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bios {
    /// The name of the device.
    device: String,
    /// The number of a partition on it, from 1, if it does not go to the whole device.
    #[schemars(extend("type" = "number"))]
    partition: Option<usize>,
}

module::stage! {
    file: "bootupd.rs", name: "org.osbuild.bootupd", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    needs: [Anything],
    libraries: [sysroot::SOURCE],
}

/// What is shown in the system while its program runs.
const SHOWN: [&str; 6] = ["/dev", "/proc", "/sys", "/run", "/var", "/tmp"];

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let mounts = Tree::open(&args.mounts_root)?;
    let root = match &options.deployment {
        Some(deployment) => mounts.path().join(deployment.find(&mounts)?.path),
        None => mounts.path().to_owned(),
    };
    let mut words = Vec::new();
    if let Some(bios) = &options.bios {
        words.push(format!("--device={}", bios.target(&args)?.display()));
    }
    if options.static_configs {
        words.push("--with-static-configs".into());
    }
    let mut binds = Binds::default();
    for path in SHOWN {
        binds.mount(Path::new(path), &root.join(&path[1..]))?;
    }
    Tool::in_root(&root, "/usr/bin/bootupctl")
        .args(["backend", "install"])
        .args(words)
        .arg(mounts.path())
        .run()
}

impl Bios {
    /// The node of the device, or of the partition on it.
    fn target(&self, args: &Args<Options>) -> Result<PathBuf> {
        let device = args.devices.get(&self.device);
        let device = device.with_context(|| format!("there is no device `{}`", self.device))?;
        let device = Path::new("/dev").join(&device.path);
        let Some(number) = self.partition else {
            return Ok(device);
        };
        let table = Tool::new("sfdisk").arg("--json").arg(&device).output()?;
        partition(&table, number)
    }
}

/// The node of the partition `number`, from 1, in a table as sfdisk(8) prints it.
fn partition(table: &[u8], number: usize) -> Result<PathBuf> {
    ensure!(number > 0, "partitions are numbered from 1");
    let table: Value = serde_json::from_slice(table).context("sfdisk prints no table")?;
    let node = table["partitiontable"]["partitions"][number - 1]["node"].as_str();
    Ok(node
        .with_context(|| format!("there is no partition {number}"))?
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_found_by_its_number() {
        let table =
            br#"{"partitiontable": {"partitions": [{"node": "/dev/loop0p1"}, {"node": "/dev/loop0p2"}]}}"#;
        assert_eq!(partition(table, 2).unwrap(), Path::new("/dev/loop0p2"));
        assert!(
            partition(table, 3)
                .unwrap_err()
                .to_string()
                .contains("no partition 3")
        );
        assert!(partition(table, 0).is_err());
    }
}
