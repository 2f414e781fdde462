//! Make a bootable raw disk image.
//!
//! The same disk as `org.osbuild.qcow2` makes, byte for byte as a machine sees it. Uncompressed it is a sparse file:
//! only what was written takes space.

use archive::compress::Compression;
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk_image::{Bootable, Form, Size, UUID_PATTERN};

/// Options of `org.osbuild.raw`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file that is made.
    #[schemars(extend("pattern" = "^[^/]+$"))]
    filename: String,
    /// UUID of the root file system.
    #[schemars(extend("pattern" = UUID_PATTERN))]
    root_fs_uuid: String,
    /// Size of the whole disk: bytes (a multiple of 512), or a text such as "10 GiB". By default what the tree needs and
    /// some room.
    size: Option<Size>,
    /// GUID of the partition table, from which those of the partitions derive. By default derived from `root_fs_uuid`.
    #[schemars(extend("pattern" = UUID_PATTERN))]
    ptuuid: Option<String>,
    /// Compress the file with "xz", "zstd" or "gzip"; "none" by default. The file name stays as it is given.
    compression: Option<Choice>,
}

/// A way to compress, or `false` for none.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Choice {
    Method(Method),
    // `true` has no meaning here
    Switch(#[schemars(extend("enum" = [false]))] bool),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    Xz,
    Zstd,
    Gzip,
    None,
}

impl Method {
    fn compression(self) -> Option<Compression> {
        match self {
            Self::Xz => Some(Compression::Xz),
            Self::Zstd => Some(Compression::Zstd),
            Self::Gzip => Some(Compression::Gzip),
            Self::None => None,
        }
    }
}

module::assembler! {
    file: "raw.rs", name: "org.osbuild.raw", options: Options, run: run,
    needs: [Mounts, Tools],
    libraries: [image::SOURCE_DIGEST, archive::SOURCE_DIGEST, include_str!("disk_image.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let method = match options.compression {
        Some(Choice::Method(method)) => method,
        Some(Choice::Switch(on)) => {
            module::ensure!(!on, "compression: say which: \"xz\", \"zstd\" or \"gzip\"");
            Method::None
        }
        None => Method::None,
    };
    let form = Form::Raw(method.compression().into());
    let disk = Bootable {
        filename: &options.filename,
        root_fs_uuid: &options.root_fs_uuid,
        ptuuid: options.ptuuid.as_deref(),
        size: options.size.as_ref(),
    };
    disk.make(&args, &form)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;
    use crate::disk_image::test::{missing_tool, run_on, sample};

    #[test]
    fn every_compression_holds_the_same_sound_disk() {
        if missing_tool("mke2fs") || missing_tool("sfdisk") || !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        let make = |compression: Option<&str>| {
            let mut options = serde_json::json!({
                "filename": "disk.raw", "size": 160 << 20,
                "root_fs_uuid": "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
            });
            if let Some(name) = compression {
                options["compression"] = name.into();
            }
            run_on(&MODULE, &tree, options).unwrap()
        };
        let plain = make(None);
        let path = plain.path().join("disk.raw");
        let disk = std::fs::read(&path).unwrap();
        let output = Command::new("sfdisk").arg("-d").arg(&path).output().unwrap();
        let table = String::from_utf8_lossy(&output.stdout);
        for name in ["bios", "esp", "root"] {
            assert!(table.contains(&format!("name=\"{name}\"")), "{table}");
        }
        assert_eq!(disk[0x5c..0x64], 2048u64.to_le_bytes());
        assert_eq!(disk[2048 * 512 + 500..][..8], 2049u64.to_le_bytes());
        for (name, tool) in [("xz", "xz"), ("zstd", "zstd"), ("gzip", "gzip")] {
            if missing_tool(tool) {
                continue;
            }
            let packed = make(Some(name));
            let file = File::open(packed.path().join("disk.raw")).unwrap();
            let output = Command::new(tool).arg("-dc").stdin(file).output().unwrap();
            assert!(output.stdout == disk, "{name}");
        }
    }
}
