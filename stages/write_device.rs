//! Write a file to a device.
//!
//! For boot loaders and firmware that lie bare on a partition. What of the device is behind the file stays.

use std::io::Read;

use module::{Args, Context, Location, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

/// Options of `org.osbuild.write-device`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    #[schemars(regex(pattern = "^input:\\/\\/[^\\/]+\\/"))]
    from: String,
}

module::stage! {
    file: "write_device.rs", name: "org.osbuild.write-device", options: Options, run: run,
    takes: {
        "devices": crate::one_device!(),
        "inputs": {"type": "object", "additionalProperties": true}
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let from = Location::parse(&args.options.from)?;
    let mut file = from.root(&args)?.open_file(from.path().trim_start_matches('/'))?;
    let size = file.metadata()?.len();
    ensure!(
        size <= target.size,
        "{} has {size} bytes, the device {}",
        args.options.from,
        target.size
    );
    // in longer pieces the page cache takes memory that was not in use, which costs more
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let count = file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", args.options.from))?;
        if count == 0 {
            return Ok(());
        }
        target.write(&buffer[..count], at)?;
        at += count as u64;
    }
}
