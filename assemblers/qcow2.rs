//! Make a bootable disk in QEMU's qcow2 format.
//!
//! The disk has a GUID partition table with a BIOS boot partition, an EFI system partition and an ext4 root file system,
//! so that it boots by BIOS and by UEFI. What lies under `/boot/efi` of the tree goes to the EFI system partition;
//! GRUB's boot blocks are taken from `/boot/grub/i386-pc` or `/boot/grub2/i386-pc`. A part that the tree has nothing for
//! is left out, with a note.
//!
//! No loop device, no mount and no boot loader of the host takes part. The same tree, options and source epoch give the
//! same bytes.

use image::format::Format;
use image::qcow2::{self, Compression};
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk_image::{Bootable, Form, Size, UUID_PATTERN};

/// Options of `org.osbuild.qcow2`.
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
    /// How clusters are compressed: "zlib" (the default; every reader knows it), "zstd", or "none".
    compression: Option<Choice>,
}

/// A way to compress, or `false` for none.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Choice {
    Method(Method),
    Switch(bool),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    Zlib,
    Zstd,
    None,
}

module::assembler! {
    file: "qcow2.rs", name: "org.osbuild.qcow2", options: Options, run: run,
    aliases: ["io.weldr.qcow2"],
    needs: [Mounts, Tools],
    libraries: [image::SOURCE_DIGEST, archive::SOURCE_DIGEST, include_str!("disk_image.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let compression = match options.compression {
        Some(Choice::Method(Method::Zstd)) => Compression::Zstd,
        Some(Choice::Method(Method::None) | Choice::Switch(false)) => Compression::None,
        Some(Choice::Method(Method::Zlib) | Choice::Switch(true)) | None => Compression::Zlib,
    };
    let form = Form::In(Format::Qcow2(qcow2::Options {
        compression,
        ..Default::default()
    }));
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
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::disk_image::test::{missing_tool, run_on, sample};

    #[test]
    fn a_disk_with_three_partitions_that_qemu_accepts_and_that_comes_out_the_same_again() {
        if missing_tool("mke2fs") || missing_tool("qemu-img") || !rustix::process::geteuid().is_root() {
            return;
        }
        let options = |compression| {
            serde_json::json!({
                "filename": "disk.qcow2", "size": "160 MiB", "compression": compression,
                "root_fs_uuid": "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
            })
        };
        let qemu_img = |args: &[&str], path: &Path| {
            let output = Command::new("qemu-img").args(args).arg(path).output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        for compression in ["zlib", "zstd", "none"] {
            let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let first = run_on(&MODULE, &sample(one.path()), options(compression)).unwrap();
            let second = run_on(&MODULE, &sample(two.path()), options(compression)).unwrap();
            let (first, second) = (first.path().join("disk.qcow2"), second.path().join("disk.qcow2"));
            assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
            qemu_img(&["check", "-f", "qcow2"], &first);
            assert!(qemu_img(&["info"], &first).contains("virtual size: 160 MiB"));
        }
    }

    #[test]
    fn wrong_options_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        let uuid = "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75";
        for (options, message) in [
            (
                serde_json::json!({"filename": "a/b", "root_fs_uuid": uuid}),
                "`a/b` is not a plain file name",
            ),
            (
                serde_json::json!({"filename": "a", "root_fs_uuid": "x"}),
                "root_fs_uuid: `x` is not a UUID",
            ),
            (
                serde_json::json!({"filename": "a", "root_fs_uuid": uuid, "size": 1000}),
                "not a multiple of 512",
            ),
            (
                serde_json::json!({"filename": "a", "root_fs_uuid": uuid, "size": "1 MiB"}),
                "a disk of 1 MiB is too small",
            ),
        ] {
            let error = format!("{:#}", run_on(&MODULE, &tree, options).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
