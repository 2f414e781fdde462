//! Make a file with a file system and nothing around it.
//!
//! The file system holds the whole tree, `/boot/efi` included. ext4 is filled without a mount and is reproducible; xfs
//! and btrfs are filled by their own tools, which must be new enough for that (xfsprogs 6.17, btrfs-progs 6.12).

use image::other_fs::{self, Kind};
use image::{SparseFile, ext4, size};
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk_image::{self, UUID_PATTERN};

/// Options of `org.osbuild.rawfs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file that is made.
    filename: String,
    /// UUID of the file system.
    #[schemars(extend("pattern" = UUID_PATTERN))]
    root_fs_uuid: String,
    /// Size in bytes.
    size: u64,
    /// The kind of file system.
    #[schemars(extend("default" = "ext4"))]
    #[serde(default)]
    fs_type: FsType,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FsType {
    #[default]
    Ext4,
    Xfs,
    Btrfs,
}

module::assembler! {
    file: "rawfs.rs", name: "org.osbuild.rawfs", options: Options, run: run,
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, include_str!("disk_image.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let uuid = disk_image::uuid(&options.root_fs_uuid, "root_fs_uuid")?;
    let epoch = disk_image::epoch(&args)?;
    let file = disk_image::create(args.output()?, &options.filename)?;
    let image = SparseFile::new(file, options.size)?;
    let tree = &args.tree;
    match options.fs_type {
        FsType::Ext4 => {
            let usage = size::usage(tree, None)?;
            let ext4 = ext4::Options {
                uuid,
                label: None,
                offset: 0,
                size: options.size,
                epoch,
            };
            ext4::write(&image, tree, &usage, &ext4)?;
        }
        FsType::Xfs => other_fs::write(&image, tree, Kind::Xfs, uuid, None, epoch)?,
        FsType::Btrfs => other_fs::write(&image, tree, Kind::Btrfs, uuid, None, epoch)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::disk_image::test::{missing_tool, run_on, sample};

    fn options(fs_type: &str) -> serde_json::Value {
        serde_json::json!({
            "filename": "r.img", "size": 64 << 20, "fs_type": fs_type,
            "root_fs_uuid": "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75",
        })
    }

    #[test]
    fn an_ext4_file_system_with_the_whole_tree() {
        if missing_tool("mke2fs") || missing_tool("e2fsck") || missing_tool("debugfs") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let output = run_on(&MODULE, &sample(dir.path()), options("ext4")).unwrap();
        let image = output.path().join("r.img");
        assert_eq!(image.metadata().unwrap().len(), 64 << 20);
        let fsck = Command::new("e2fsck").arg("-fn").arg(&image).output().unwrap();
        assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
        let cat = ["-R", "cat /boot/efi/EFI/BOOT/grub.cfg"];
        let cat = Command::new("debugfs").args(cat).arg(&image).output().unwrap();
        assert_eq!(cat.stdout, b"configfile");
    }

    #[test]
    fn a_file_system_whose_tool_is_missing_or_too_old_is_refused_clearly() {
        let dir = tempfile::tempdir().unwrap();
        for (fs_type, tool) in [("xfs", "mkfs.xfs"), ("btrfs", "mkfs.btrfs")] {
            // a new enough tool does it; then there is nothing to refuse
            if let Err(error) = run_on(&MODULE, &sample(dir.path()), options(fs_type)) {
                let error = format!("{error:#}");
                assert!(error.contains(tool), "{error}");
            }
        }
    }
}
