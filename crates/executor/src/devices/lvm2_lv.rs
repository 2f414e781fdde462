//! A logical volume (LVM 2).
//!
//! Its volume group is the one on the `parent`, or on the parent's partition `vg_partnum`. The volume is activated: as
//! root, with the kernel's device mapper and the host's LVM tools.

use std::path::Path;

use serde_json::{Value, json};

use super::own::Lasting;
use super::real::{self, device_mapper, tool};
use super::{DeviceModule, Held, Opened, Opening};

/// There while the service that looks after device nodes is running.
const UDEV: &str = "/run/udev/control";

/// This file as a device.
pub(super) static DEVICE: DeviceModule = DeviceModule {
    name: "org.osbuild.lvm2.lv",
    text: include_str!("lvm2_lv.rs"),
    schema,
    open,
};

fn schema() -> Value {
    json!({
        "additionalProperties": false,
        "required": ["volume"],
        "properties": {
            "volume": {"type": "string", "description": "The volume to activate."},
            "vg_partnum": {"type": "number", "description": "The parent's partition that the volume group is on."},
        },
    })
}

/// An active volume of a group that is on these devices alone.
struct Active {
    group: String,
    devices: Vec<String>,
    lasting: Lasting,
}

impl Active {
    /// What a stage is told of a volume of the group, for which nodes are made below `dev`.
    fn argument(&self, dev: &Path, volume: &str) -> Result<Value, String> {
        let group = &self.group;
        let full = format!("{group}/{volume}");
        let args = [
            "--noheadings",
            "--separator",
            ":",
            "-o",
            "lv_kernel_major,lv_kernel_minor",
            &full,
        ];
        let text = lvm(&self.lasting, "lvs", &args, &self.devices)?;
        let pair = text
            .split_once(':')
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let number: (u32, u32) = pair.ok_or_else(|| format!("the volume {full} has no device: `{text}`"))?;
        let double = |name: &str| name.replace('-', "--");
        let mapped = format!("mapper/{}-{}", double(group), double(volume));
        for name in [&full, &mapped] {
            real::make_node(dev, name, number)?;
        }
        Ok(json!({
            "path": full, "node": {"major": number.0, "minor": number.1},
            "lvm": {"vg_name": group, "lv_name": volume},
        }))
    }
}

impl Held for Active {
    fn release(self: Box<Self>) -> Result<(), String> {
        // a machine with udev activates whole groups as soon as it sees them, and would go on holding the device: first it
        // has to be done with what it has seen
        if Path::new(UDEV).exists() {
            let _ = tool(&self.lasting, "udevadm", &["settle", "--timeout=30"], None);
        }
        let args = ["--activate", "n", &self.group];
        lvm(&self.lasting, "vgchange", &args, &self.devices).map(drop)
    }
}

fn open(opening: &Opening<'_>) -> Result<Opened, String> {
    device_mapper("a logical volume")?;
    let parent = opening
        .parent
        .ok_or("it needs a `parent`, the device that its volume group is on")?;
    let mut node = opening.dev.join(parent).display().to_string();
    if let Some(number) = opening.options.get("vg_partnum").and_then(Value::as_f64) {
        node.push_str(&format!("p{number}"));
    }
    let volume = opening
        .options
        .get("volume")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // only this device counts, not what the machine has: neither its volumes nor its list of devices; and a node counts only
    // where nodes are sought
    let places = format!(
        "devices {{ scan=[{}] obtain_device_list_from_udev=0 }}",
        json!(opening.dev)
    );
    let devices = vec![
        "--config".to_owned(),
        places,
        "--devices".to_owned(),
        node.clone(),
    ];
    let lasting = Lasting::begin()?;
    let args = ["--noheadings", "-o", "vg_name", &node];
    let group = lvm(&lasting, "pvs", &args, &devices)?;
    let full = format!("{group}/{volume}");
    lvm(&lasting, "lvchange", &["--activate", "y", &full], &devices)?;
    let active = Active {
        group,
        devices,
        lasting,
    };
    real::opened(active, |active| active.argument(opening.dev, volume))
}

fn lvm(lasting: &Lasting, command: &str, args: &[&str], devices: &[String]) -> Result<String, String> {
    let all: Vec<&str> = args
        .iter()
        .copied()
        .chain(devices.iter().map(String::as_str))
        .collect();
    tool(lasting, command, &all, None)
}
