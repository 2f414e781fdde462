//! Write `/etc/crypttab`.
//!
//! One line for each encrypted device, in the order given; what was in the file is replaced.

use module::{Args, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.crypttab`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The lines.
    volumes: Vec<Volume>,
}

/// One line of the file: `uuid` or `path` says what is opened.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["uuid", "volume"]}, {"required": ["path", "volume"]}]))]
struct Volume {
    /// Name of the opened device below `/dev/mapper`.
    volume: String,
    /// UUID of the device.
    #[serde(default)]
    uuid: String,
    /// Path of the device, or another specification of it.
    #[serde(default)]
    path: String,
    /// Where the key lies; `none`: it is asked for.
    #[serde(default = "none")]
    keyfile: String,
    /// Options, separated by commas.
    #[serde(default)]
    options: String,
}

module::stage! { file: "crypttab.rs", name: "org.osbuild.crypttab", options: Options, run: run }

fn none() -> String {
    "none".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let lines: Result<String> = args.options.volumes.iter().map(line).collect();
    Ok(args.tree.write("etc/crypttab", lines?)?)
}

fn line(volume: &Volume) -> Result<String> {
    let name = &volume.volume;
    let device = match (&*volume.uuid, &*volume.path) {
        ("", "") => bail!("the volume `{name}` needs `uuid` or `path`"),
        ("", path) => path.to_owned(),
        (uuid, _) => format!("UUID={uuid}"),
    };
    Ok(format!(
        "{name}\t{device}\t{}\t{}\n",
        volume.keyfile, volume.options
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_volume_without_a_device_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let options = serde_json::json!({"volumes": [{"volume": "v"}]});
        let result = (super::MODULE.run)(serde_json::json!({"tree": dir.path(), "options": options}));
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("`v` needs `uuid` or `path`")
        );
        assert!(!dir.path().join("etc/crypttab").exists());
    }
}
