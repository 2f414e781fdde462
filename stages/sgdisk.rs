//! Write a GUID partition table, as sgdisk(8) does.
//!
//! `start` and `size` are in sectors of the device. Partitions begin at whole MiB: a start that is none is moved to the
//! one before it, or else behind it, and the partition keeps the end that was asked for. Without a start a partition
//! begins in the largest free space, without a size it takes what is free behind its start. What nobody gave (GUIDs of
//! partitions) is derived from the table's GUID. Boot code in the first sector stays.
//!
//! Names are put in quotation marks, which end up in the table, unless `quote_partition_name` is false.

mod space;

use image::dos;
use image::gpt::{self, Format};
use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::disk::{self, Target};
use space::Space;

/// Options of `org.osbuild.sgdisk`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The table's GUID.
    uuid: String,
    /// Put the names in quotation marks, which are then part of them.
    #[serde(default = "yes")]
    quote_partition_name: bool,
    /// The kind of table.
    #[serde(default, rename = "label")]
    _label: Option<Label>,
    /// The partitions, in the order in which they are made.
    #[serde(default)]
    partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Gpt,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Partition {
    /// Mark it as the one that a legacy BIOS may boot from.
    #[serde(default)]
    bootable: bool,
    /// Its name.
    name: Option<String>,
    /// Its number; without one, its place in the list.
    partnum: Option<i64>,
    /// Its size in sectors.
    size: Option<i64>,
    /// Its first sector.
    start: Option<i64>,
    /// Its type: a GUID, or sgdisk's code, such as `8300`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its GUID.
    uuid: Option<String>,
    /// Bits of its attributes.
    #[schemars(length(max = 64), inner(range(min = 0, max = 63)), extend("uniqueItems" = true))]
    attrs: Option<Vec<u8>>,
}

module::stage! {
    file: "sgdisk.rs", name: "org.osbuild.sgdisk", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE, include_str!("sgdisk/space.rs"), TYPES],
}

/// Code and GUID of each type that sgdisk 1.0.9 lists (`sgdisk -L`).
const TYPES: &str = include_str!("sgdisk/types.txt");
const LINUX: &str = "8300";
/// The attribute of a partition that a legacy BIOS may boot from.
const BOOTABLE: u8 = 2;
/// Bytes of sector 0 that hold boot code.
const BOOT_CODE: usize = 440;

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let options = &args.options;
    let numbers = options.partitions.iter().enumerate().map(number);
    let mut format = Format {
        sector: target.sector,
        numbers: numbers.collect::<Result<_>>()?,
        ..Format::default()
    };
    format.first_usable = format.smallest_usable();
    let end = target.sectors().saturating_sub(format.backup_sectors());
    let mut space = Space::new(target.sector, format.first_usable..end);
    let disk_guid = disk::uuid(&options.uuid, "uuid")?;
    let mut partitions = Vec::new();
    for (partition, number) in options.partitions.iter().zip(&format.numbers) {
        let made = partition
            .made(*number, &mut space, &disk_guid, options.quote_partition_name)
            .with_context(|| format!("partition {number}"))?;
        println!(
            "{number}: start={}, size={}, type={}",
            made.first, made.sectors, made.type_guid
        );
        partitions.push(made);
    }
    let table = gpt::Table {
        disk_guid,
        sectors: target.sectors(),
        partitions,
    };
    let (mut primary, backup) = table.encode_as(&format)?;
    target.read(&mut primary[..BOOT_CODE], 0)?;
    let last = dos::ENTRIES_AT + 5;
    primary[last..last + 3].copy_from_slice(&dos::last_sector_of(table.sectors));
    target.write(&primary, 0)?;
    target.write(&backup, (table.sectors - format.backup_sectors()) * target.sector)
}

fn number((index, partition): (usize, &Partition)) -> Result<usize> {
    match partition.partnum {
        None | Some(0) => Ok(index + 1),
        Some(number) => usize::try_from(number).context("`partnum` counts from 1"),
    }
}

impl Partition {
    fn made(&self, number: usize, space: &mut Space, disk: &Uuid, quoted: bool) -> Result<gpt::Partition> {
        let place = space.take(sectors(self.start, "start")?, sectors(self.size, "size")?)?;
        let guid = match self.uuid.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => disk::uuid(text, "partitions.uuid")?,
            None => Uuid::new_v5(disk, format!("partition {number}").as_bytes()),
        };
        let attributes = self.attrs.iter().flatten().copied();
        let attributes = attributes.chain(self.bootable.then_some(BOOTABLE));
        Ok(gpt::Partition {
            type_guid: type_guid(self.kind.as_deref())?,
            guid,
            first: place.start,
            sectors: place.end - place.start,
            attributes: attributes.fold(0, |all, bit| all | 1 << bit),
            name: match self.name.as_deref() {
                None | Some("") => String::new(),
                Some(name) if quoted => format!("\"{name}\""),
                Some(name) => name.to_owned(),
            },
        })
    }
}

/// A number of sectors; 0 is none.
fn sectors(value: Option<i64>, name: &str) -> Result<Option<u64>> {
    let value = value.filter(|value| *value != 0);
    value
        .map(|value| u64::try_from(value).with_context(|| format!("`{name}` is {value}")))
        .transpose()
}

fn type_guid(text: Option<&str>) -> Result<Uuid> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(LINUX);
    let mut types = TYPES.lines().filter_map(|line| line.split_once(' '));
    let known = types.find(|(code, _)| code.eq_ignore_ascii_case(text));
    let guid = known.map_or(text, |(_, guid)| guid);
    Uuid::parse_str(guid).with_context(|| format!("`type` is neither a UUID nor a code of sgdisk: `{text}`"))
}

#[cfg(test)]
mod tests;
