//! Make a FAT file system.
//!
//! Written without a tool. Its width is `fat-size`, else 12 bits below 4 MiB, 16 up to 512 MiB and 32 beyond, as
//! `mkfs.fat` has it. All files have one time: the source epoch, or 1980.

use image::fat::{self, Disk, Kind};
use module::{Args, Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::disk::{self, Content, Target};

/// Options of `org.osbuild.mkfs.fat`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The volume's identifier: eight hexadecimal digits.
    volid: String,
    /// Its label.
    #[schemars(length(max = 11))]
    label: Option<String>,
    /// Bits of an entry of the allocation table.
    #[serde(rename = "fat-size")]
    #[schemars(extend("enum" = [12, 16, 32], "type" = "integer"))]
    fat_size: Option<u8>,
    /// What the disk looks like to a BIOS.
    geometry: Option<Geometry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Geometry {
    /// Heads.
    heads: i64,
    /// Sectors of a track.
    sectors_per_track: i64,
}

module::stage! {
    file: "mkfs_fat.rs", name: "org.osbuild.mkfs.fat", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let epoch = disk::epoch(&args)?;
    let content = Content::of(&target)?;
    if content.is_new {
        content.settle(epoch)?;
    }
    let options = fat::Options {
        offset: target.start,
        size: target.size,
        kind: Some(kind(args.options.fat_size, target.size)),
        volume_id: volume_id(&args.options.volid)?,
        label: args.options.label.clone().filter(|label| !label.is_empty()),
        epoch: epoch.unwrap_or(0),
    };
    target.clear()?;
    fat::write_on(
        &target.image,
        &content.tree,
        &options,
        &seen_by_bios(&args.options, target.sector)?,
    )?;
    args.makes_file_system("device", "fat")
}

fn kind(bits: Option<u8>, size: u64) -> Kind {
    match bits {
        Some(12) => Kind::Fat12,
        Some(16) => Kind::Fat16,
        Some(_) => Kind::Fat32,
        None => Kind::of_mkfs(size),
    }
}

fn volume_id(text: &str) -> Result<u32> {
    let digits = text.replace('-', "");
    ensure!(
        digits.len() <= 8,
        "`volid` has more than eight hexadecimal digits: `{text}`"
    );
    u32::from_str_radix(&digits, 16).with_context(|| format!("`volid` is no hexadecimal number: `{text}`"))
}

fn seen_by_bios(options: &Options, sector: u64) -> Result<Disk> {
    let mut disk = Disk {
        sector,
        ..Disk::default()
    };
    if let Some(geometry) = &options.geometry {
        let number = |value: i64, name: &str| {
            u16::try_from(value).with_context(|| format!("`geometry.{name}` cannot be {}", json!(value)))
        };
        disk.heads = number(geometry.heads, "heads")?;
        disk.sectors_per_track = number(geometry.sectors_per_track, "sectors-per-track")?;
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_width_follows_mkfs_fat() {
        assert_eq!(kind(None, 200 * MIB), Kind::Fat16);
        assert_eq!(kind(None, 513 * MIB), Kind::Fat32);
        assert_eq!(kind(Some(32), 100 * MIB), Kind::Fat32);
        assert_eq!(volume_id("7B77-95E7").unwrap(), 0x7b77_95e7);
        assert!(volume_id("no").is_err());
    }
}
