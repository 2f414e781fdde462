//! The FAT file system that firmware finds on a medium, or in a boot stream.

use std::fs::File;
use std::path::Path;

use image::SparseFile;
use image::fat::{self, Kind};
use module::{Args, Result, Tree};

use crate::disk;

const LABEL: &str = "EFI-SYSTEM";

/// Writes an image of `content` into the empty `file`: as large as an archive of it, and 2 MiB for the tables.
pub fn boot_image<O>(args: &Args<O>, content: &Tree, file: File) -> Result<()> {
    let size = archived(content, Path::new(""))? + 1024;
    // firmware takes no half sectors
    let size = (size.next_multiple_of(10_240) + (2 << 20)).next_multiple_of(512);
    let image = SparseFile::new(file, size)?;
    let options = fat::Options {
        offset: 0,
        size,
        kind: Some(Kind::of_mkfs(size)),
        volume_id: disk::derived(args, LABEL).as_fields().0,
        label: Some(LABEL.into()),
        epoch: args.meta.source_epoch.unwrap_or(0),
    };
    Ok(fat::write(&image, content, &options)?)
}

/// Bytes that a tar archive has for what lies below `dir`.
fn archived(tree: &Tree, dir: &Path) -> Result<u64> {
    let mut size = 0;
    for name in tree.list(dir)? {
        let path = dir.join(name);
        size += 512;
        match tree.is_dir(&path) {
            true => size += archived(tree, &path)?,
            false => {
                let length = tree.stat(&path)?.map_or(0, |stat| stat.size);
                size += length.next_multiple_of(512);
            }
        }
    }
    Ok(size)
}
