//! Let a LUKS device be opened by a policy of Clevis.
//!
//! Adds a key to the device with `clevis luks bind`, which the policy gives back: from the machine's TPM, a server in
//! the network, or (pin `null`) without any condition.

use std::path::Path;

use module::{Args, Context, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.clevis.luks-bind`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A passphrase that opens the device.
    passphrase: String,
    /// The pin, such as `tang`, `tpm2`, `sss` or `null`.
    pin: String,
    /// The pin's configuration, a JSON text.
    policy: String,
}

module::stage! {
    file: "clevis_luks_bind.rs", name: "org.osbuild.clevis.luks-bind", options: Options, run: run,
    takes: {
        "devices": {
            "type": "object", "additionalProperties": true, "required": ["device"],
            "properties": {"device": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let device = args
        .devices
        .get("device")
        .context("there is no device `device`")?;
    let device = Path::new("/dev").join(&device.path);
    link_descriptors(Path::new("/dev/fd"))?;
    Tool::new("clevis")
        .args(["luks", "bind", "-k-", "-y", "-f", "-d"])
        .arg(device)
        .args([&options.pin, &options.policy])
        .input(options.passphrase.as_bytes())
        .run()
}

/// Makes `/dev/fd`, which the pins `null` and `sss` read from.
fn link_descriptors(path: &Path) -> Result<()> {
    match std::os::unix::fs::symlink("/proc/self/fd", path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", path.display()))
        }
        _ => Ok(()),
    }
}
