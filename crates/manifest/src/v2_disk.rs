//! The devices and mounts of a stage of format 2.

use serde_json::Value;

use crate::id::{self, unset};
use crate::model::{Device, Mount};
use crate::object::Object;
use crate::problem::{Problem, Report};
use crate::suggest::did_you_mean;

/// The devices of a stage: sweeps over those that are left, in the order written, take each whose parent is there.
pub(crate) fn devices(stage: &Object<'_>, report: &mut Report) -> Vec<Device> {
    let mut left = stage.members("devices", report);
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    let mut devices: Vec<Device> = Vec::new();
    loop {
        let before = left.len();
        left.retain(|(name, entry)| {
            let parent = match parent_name(entry) {
                None => None,
                Some(parent) => match devices.iter().position(|device| device.name == parent) {
                    None => return true,
                    found => found,
                },
            };
            if let Some(kind) = entry.text("type", report) {
                let mut device = Device {
                    name: (*name).clone(),
                    kind: kind.to_owned(),
                    parent,
                    options: entry.options(report),
                    id: unset::DEVICE,
                };
                device.id = id::device(&device, parent.map(|index| &devices[index]));
                devices.push(device);
            }
            false
        });
        if left.len() == before {
            break;
        }
    }
    for (_, entry) in left {
        let parent = entry.optional_text("parent", report).unwrap_or_default();
        let path = entry.path.key("parent");
        // below an unknown or broken device; only the first of them is at fault
        let problem = match names.contains(&parent) {
            true => Problem::new(
                path,
                format!("device `{parent}` has no parent that can be opened first"),
            ),
            false => Problem::new(path, format!("no device of this stage is called `{parent}`"))
                .hint(did_you_mean(parent, names.iter().copied())),
        };
        report.references.push(problem);
    }
    devices
}

fn parent_name<'a>(device: &Object<'a>) -> Option<&'a str> {
    let parent = device.map.get("parent").and_then(Value::as_str);
    parent.filter(|text| !text.is_empty())
}

/// The mounts of a stage, whose names must differ.
pub(crate) fn mounts(stage: &Object<'_>, devices: &[Device], report: &mut Report) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in stage.elements("mounts", report) {
        let Some((name, kind)) = entry.text("name", report).zip(entry.text("type", report)) else {
            continue;
        };
        if mounts.iter().any(|mount| mount.name == name) {
            let message = format!("an earlier mount of this stage is called `{name}` as well");
            report
                .references
                .push(Problem::new(entry.path.key("name"), message));
        }
        let device = mount_device(&entry, stage, devices, report);
        let mut mount = Mount {
            name: name.to_owned(),
            kind: kind.to_owned(),
            device,
            target: entry.optional_text("target", report).map(str::to_owned),
            partition: partition(&entry, report),
            options: entry.options(report),
            id: unset::MOUNT,
        };
        mount.id = id::mount(&mount, device.map(|index| &devices[index]));
        mounts.push(mount);
    }
    mounts
}

fn mount_device(
    mount: &Object<'_>,
    stage: &Object<'_>,
    devices: &[Device],
    report: &mut Report,
) -> Option<usize> {
    let source = mount
        .optional_text("source", report)
        .filter(|text| !text.is_empty())?;
    let found = devices.iter().position(|device| device.name == source);
    let declared = stage.map.get("devices").and_then(Value::as_object);
    // a device that is declared but broken has a problem of its own
    if found.is_none() && !declared.is_some_and(|map| map.contains_key(source)) {
        let message = format!("no device of this stage is called `{source}`");
        let hint = did_you_mean(source, devices.iter().map(|device| device.name.as_str()));
        let problem = Problem::new(mount.path.key("source"), message).hint(hint);
        report.references.push(problem);
    }
    found
}

/// The number of a partition; 0 is none.
fn partition(mount: &Object<'_>, report: &mut Report) -> Option<u64> {
    let value = mount.map.get("partition")?;
    let number = value.as_u64();
    if number.is_none() {
        let message = "a partition has a whole number, from 1";
        report
            .references
            .push(Problem::new(mount.path.key("partition"), message));
    }
    number.filter(|n| *n != 0)
}
