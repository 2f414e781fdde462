//! Protect a device with dm-verity: write its hash tree to another one, and the root hash to a file.
//!
//! What `veritysetup format` writes, which takes no part: SHA-256, hash blocks of 4 KiB, and a superblock. veritysetup draws
//! salt and UUID by lot; here they are derived from the stage's id. `root_hash_file` is a file of the tree, mode 0600.

use std::io::Write;

use image::verity::{self, Part};
use module::{Args, Context, Result};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Whole};
use crate::disk::{self, Target};

/// Options of `org.osbuild.dmverity`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Bytes of a block of data.
    #[serde(default = "smallest")]
    #[schemars(extend("default" = 512))]
    blocksize: Whole,
    /// The file that gets the root hash, in hexadecimal.
    root_hash_file: String,
}

module::stage! {
    file: "dmverity.rs", name: "org.osbuild.dmverity", options: Options, run: run,
    takes: {
        "devices": {
            "type": "object", "additionalProperties": true, "required": ["data_device", "hash_device"],
            "properties": {
                "data_device": {"type": "object", "additionalProperties": true},
                "hash_device": {"type": "object", "additionalProperties": true},
            },
        },
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE, common::SOURCE],
}

const HASH_BLOCK: u32 = 4096;

fn smallest() -> Whole {
    Whole(512)
}

fn run(args: Args<Options>) -> Result<()> {
    let data = Target::open_readable(&args, "data_device")?;
    let hashes = Target::open(&args, "hash_device")?;
    let salt = ["dm-verity salt", "dm-verity salt, second half"];
    let options = verity::Options {
        uuid: disk::derived(&args, "dm-verity"),
        salt: salt
            .iter()
            .flat_map(|what| disk::derived(&args, what).into_bytes())
            .collect(),
        data_block: args.options.blocksize.0,
        hash_block: HASH_BLOCK,
    };
    let root = hex::encode(verity::format(part(&data), part(&hashes), &options)?);
    println!("root hash: {root}");
    let file = args.options.root_hash_file.trim_start_matches('/');
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let fd = args.tree.open_at(file, flags, 0o600)?;
    std::fs::File::from(fd)
        .write_all(root.as_bytes())
        .with_context(|| format!("cannot write /{file}"))
}

fn part(target: &Target) -> Part<'_> {
    Part {
        image: &target.image,
        start: target.start,
        size: target.size,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;

    #[test]
    fn veritysetup_verifies_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, size| {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(size).unwrap();
        };
        file("data.img", 1 << 20);
        file("hash.img", 1 << 20);
        let device = |name: &str, read_only: bool| {
            json!({"path": name, "data": {
                "file": name, "start": 0, "size": 1 << 20, "sector-size": 512, "read-only": read_only,
            }})
        };
        let document = json!({
            "tree": dir.path(), "options": {"root_hash_file": "/hash.txt"}, "meta": {"id": "x"},
            "devices": {"data_device": device("data.img", true), "hash_device": device("hash.img", false)},
        });
        (MODULE.run)(document.clone()).unwrap();
        let root = std::fs::read_to_string(dir.path().join("hash.txt")).unwrap();
        assert_eq!(root.len(), 64);
        let verify = |root: &str| {
            let mut command = Command::new("veritysetup");
            command
                .args(["verify", "data.img", "hash.img", root])
                .current_dir(dir.path());
            command.output().map(|output| output.status.success())
        };
        match verify(&root) {
            Ok(good) => assert!(good && !verify(&"0".repeat(64)).unwrap()),
            Err(_) => println!("skipped: veritysetup is not installed"),
        }
        let mut small = document;
        small["devices"]["hash_device"]["data"]["size"] = 8192.into();
        assert!((MODULE.run)(small).is_err());
    }
}
