//! An encrypted device (LUKS 2), opened with its passphrase.
//!
//! The device that it lies on is its `parent`. The kernel does the encryption: as root, with the device mapper and the
//! host's `cryptsetup`.

use serde_json::{Value, json};

use super::own::Lasting;
use super::real::{self, device_mapper, tool};
use super::{DeviceModule, Held, Opened, Opening};

/// This file as a device.
pub(super) static DEVICE: DeviceModule = DeviceModule {
    name: "org.osbuild.luks2",
    text: include_str!("luks2.rs"),
    schema,
    open,
};

fn schema() -> Value {
    json!({
        "additionalProperties": false,
        "required": ["passphrase"],
        "properties": {
            "passphrase": {"type": "string", "default": "", "description": "The passphrase that opens it."},
        },
    })
}

/// An open mapping.
struct Mapping {
    name: String,
    lasting: Lasting,
}

impl Held for Mapping {
    fn release(self: Box<Self>) -> Result<(), String> {
        tool(&self.lasting, "cryptsetup", &["-q", "close", &self.name], None).map(drop)
    }
}

fn open(opening: &Opening<'_>) -> Result<Opened, String> {
    device_mapper("an encrypted device")?;
    let parent = opening
        .parent
        .ok_or("it needs a `parent`, the device that it lies on")?;
    let node = opening.dev.join(parent).display().to_string();
    let passphrase = opening
        .options
        .get("passphrase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // nobody else on this machine may have the name
    let name = format!("osbuild-luks-{}-{}", std::process::id(), parent.replace('/', "-"));
    let lasting = Lasting::begin()?;
    let args = ["-q", "open", &node, &name];
    tool(&lasting, "cryptsetup", &args, Some(passphrase))?;
    real::opened(Mapping { name, lasting }, |Mapping { name, lasting }| {
        let args = [
            "info",
            "-c",
            "-o",
            "major,minor",
            "--noheadings",
            "--separator",
            ":",
            name,
        ];
        let number = number(&tool(lasting, "dmsetup", &args, None)?)?;
        let path = format!("mapper/{name}");
        real::make_node(opening.dev, &path, number)?;
        Ok(json!({"path": path, "name": name, "node": {"major": number.0, "minor": number.1}}))
    })
}

/// Major and minor number, with a colon between.
fn number(text: &str) -> Result<(u32, u32), String> {
    let pair = text
        .split_once(':')
        .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    pair.ok_or_else(|| format!("dmsetup does not know the device: `{text}`"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_as_dmsetup_prints_them() {
        assert_eq!(super::number("253:7"), Ok((253, 7)));
        assert!(super::number("No devices found").is_err());
    }
}
