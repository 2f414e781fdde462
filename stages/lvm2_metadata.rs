//! Give a volume group of LVM 2 another name, and say who made it and when.
//!
//! The metadata on the device is changed in place, without LVM's tools: a running machine with a group of that name does not
//! matter. What is not given stays. Volume groups on several devices cannot be renamed this way.

use image::lvm2::{Change, changed};
use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};
use crate::lvm2_create::{device, plain_name};

/// Options of `org.osbuild.lvm2.metadata`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub struct Options {
    /// The machine on which it was made.
    #[schemars(length(min = 1, max = 255))]
    creation_host: Option<String>,
    /// When it was made, in seconds since 1970.
    #[schemars(regex(pattern = "[0-9]+"))]
    creation_time: Option<String>,
    /// How it came to be.
    #[schemars(length(min = 1))]
    description: Option<String>,
    /// The group's name.
    #[schemars(regex(pattern = "[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*"))]
    vg_name: String,
}

module::stage! {
    file: "lvm2_metadata.rs", name: "org.osbuild.lvm2.metadata", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE, include_str!("lvm2_create.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let options = &args.options;
    let time = |text: &String| {
        text.parse::<u64>()
            .with_context(|| format!("`creation_time` is `{text}`"))
    };
    let change = Change {
        name: plain_name(&options.vg_name)?.to_owned(),
        description: options.description.clone(),
        creation_host: options.creation_host.clone(),
        creation_time: options.creation_time.as_ref().map(time).transpose()?,
    };
    let device = device(&target);
    Ok(device.replace(&changed(&device.text()?, &change)?)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Makes a group, gives it a name, and returns the disk.
    fn made(id: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        std::fs::File::create(&path).unwrap().set_len(40 << 20).unwrap();
        let run = |run: fn(Value) -> Result<()>, options: Value| {
            run(json!({
                "tree": dir.path(), "options": options, "meta": {"id": id, "source-epoch": 5},
                "devices": {"device": {"path": "device", "data": {
                    "file": "disk.img", "start": 1 << 20, "size": 38 << 20, "sector-size": 512, "read-only": false,
                }}},
            }))
        };
        let volumes = json!([{"name": "root", "size": "9m"}, {"name": "home", "extents": "100%FREE"}]);
        run(crate::lvm2_create::MODULE.run, json!({"volumes": volumes})).unwrap();
        let options = json!({
            "vg_name": "system", "creation_host": "there", "creation_time": "1700000000", "description": "by hand",
        });
        run(MODULE.run, options).unwrap();
        run(MODULE.run, json!({"vg_name": "a b"})).unwrap_err();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_group_gets_its_name() {
        let one = made("x");
        assert!(one == made("x"));
        assert!(one != made("y"));
        let text = String::from_utf8_lossy(&one[(1 << 20) + 4608..][..4096]).into_owned();
        let text = text.trim_end_matches('\0');
        assert!(text.starts_with("system {\nid = "), "{text}");
        for line in [
            "creation_host = \"there\"",
            "creation_time = 1700000000",
            "description = \"by hand\"",
            "extent_count = 6",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.contains("creation_time = 5\n"), "{text}");
    }
}
