//! Write a partition table, as sfdisk(8) does.
//!
//! `start` and `size` are in sectors of the device. A partition without a start begins at the first free whole MiB; one
//! without a size takes what is free behind its start. What a GPT needs and nobody gave (GUIDs of partitions) is derived
//! from the table's GUID. Boot code in the first sector stays.

use image::dos;
use image::gpt::{self, Format};
use module::{Args, Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::disk::{self, Space, Target, Wanted};

/// Options of `org.osbuild.sfdisk`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The table's identifier: a UUID, or of a DOS table a number such as `0x14fc63d2`.
    uuid: String,
    /// The kind of table.
    label: Label,
    /// The partitions, in their order on the disk.
    #[serde(default)]
    partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Mbr,
    Dos,
    Gpt,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct Partition {
    /// Mark it as the one to boot from (DOS).
    #[serde(default)]
    bootable: bool,
    /// Its name (GPT).
    name: Option<String>,
    /// Its number, where they are not simply counted.
    partnum: Option<i64>,
    /// Its size in sectors.
    size: Option<i64>,
    /// Its first sector.
    start: Option<i64>,
    /// Its type: a GUID (GPT), a hexadecimal number (DOS), or a short form such as `L`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its GUID (GPT).
    uuid: Option<String>,
    /// Bits of its attributes (GPT).
    #[schemars(length(max = 64), inner(range(min = 0, max = 63)), extend("uniqueItems" = true))]
    attrs: Option<Vec<u8>>,
}

module::stage! {
    file: "sfdisk.rs", name: "org.osbuild.sfdisk", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

/// Bytes of sector 0 that hold boot code.
const BOOT_CODE: usize = 440;

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    match args.options.label {
        Label::Gpt => write_gpt(&target, &args.options),
        Label::Dos | Label::Mbr => write_dos(&target, &args.options),
    }
}

fn write_gpt(target: &Target, options: &Options) -> Result<()> {
    let mut format = Format {
        sector: target.sector,
        numbers: numbers(&options.partitions)?,
        ..Format::default()
    };
    let smallest = format.smallest_usable();
    let first = disk::first_usable(target).max(smallest);
    let end = target.sectors().saturating_sub(format.backup_sectors());
    let places = Space::new(target, first..end).place(&wanted(&options.partitions)?)?;
    // partitions before the first whole MiB are rare, but nobody forbids them
    format.first_usable = places
        .iter()
        .map(|place| place.start)
        .fold(first, u64::min)
        .max(smallest);
    let disk_guid = disk::uuid(&options.uuid, "uuid")?;
    let partitions = options.partitions.iter().zip(&places).enumerate();
    let partitions = partitions.map(|(index, (partition, place))| {
        let guid = match &partition.uuid {
            Some(text) => disk::uuid(text, "partitions.uuid")?,
            None => Uuid::new_v5(
                &disk_guid,
                format!("partition {}", format.numbers[index]).as_bytes(),
            ),
        };
        let attributes = partition
            .attrs
            .iter()
            .flatten()
            .filter(|bit| **bit < 3 || **bit >= 48);
        let entry = gpt::Partition {
            type_guid: disk::type_guid(partition.kind.as_deref())?,
            guid,
            first: place.start,
            sectors: place.end - place.start,
            attributes: attributes.fold(0, |all, bit| all | 1 << bit),
            name: partition.name.clone().unwrap_or_default(),
        };
        print(format.numbers[index], &entry.type_guid, place);
        Ok(entry)
    });
    let table = gpt::Table {
        disk_guid,
        sectors: target.sectors(),
        partitions: partitions.collect::<Result<_>>()?,
    };
    let (mut primary, backup) = table.encode_as(&format)?;
    target.read(&mut primary[..BOOT_CODE], 0)?;
    target.write(&primary, 0)?;
    target.write(&backup, (table.sectors - format.backup_sectors()) * target.sector)
}

fn write_dos(target: &Target, options: &Options) -> Result<()> {
    let sectors = target.sectors();
    let space = Space::new(
        target,
        disk::first_usable(target)..sectors.min(u64::from(u32::MAX)),
    );
    let places = space.place(&wanted(&options.partitions)?)?;
    let digits = options.uuid.trim_start_matches("0x");
    let signature = u32::from_str_radix(digits, 16).with_context(|| {
        format!(
            "`uuid` of a DOS table is a number such as 0x14fc63d2, not `{}`",
            options.uuid
        )
    })?;
    let numbers = numbers(&options.partitions)?;
    let partitions = options.partitions.iter().zip(&places).zip(&numbers);
    let partitions = partitions.map(|((partition, place), number)| {
        let kind = dos_type(partition.kind.as_deref())?;
        print(*number, &format_args!("{kind:02x}"), place);
        Ok(dos::Partition {
            kind,
            bootable: partition.bootable,
            first: u32::try_from(place.start)?,
            sectors: u32::try_from(place.end - place.start)?,
        })
    });
    let table = dos::Table {
        signature,
        partitions: partitions.collect::<Result<_>>()?,
    };
    let mut sector = table.encode_at(sectors, &numbers)?;
    target.read(&mut sector[..BOOT_CODE], 0)?;
    target.write(&sector, 0)
}

fn print(number: usize, kind: &dyn std::fmt::Display, place: &std::ops::Range<u64>) {
    println!(
        "{number}: start={}, size={}, type={kind}",
        place.start,
        place.end - place.start
    );
}

fn wanted(partitions: &[Partition]) -> Result<Vec<Wanted>> {
    let sectors = |value: Option<i64>, name: &str| -> Result<Option<u64>> {
        let value = value.filter(|value| *value != 0);
        let sectors = value.map(|value| u64::try_from(value).with_context(|| format!("`{name}` is {value}")));
        sectors.transpose()
    };
    let one = |partition: &Partition| -> Result<Wanted> {
        Ok(Wanted {
            start: sectors(partition.start, "start")?,
            size: sectors(partition.size, "size")?,
        })
    };
    partitions.iter().map(one).collect()
}

/// Those that are given, and for the others the smallest that are free.
fn numbers(partitions: &[Partition]) -> Result<Vec<usize>> {
    let mut taken = Vec::new();
    for number in partitions.iter().filter_map(|partition| partition.partnum) {
        let number = usize::try_from(number).ok().filter(|number| *number > 0);
        let number = number.context("`partnum` counts from 1")?;
        ensure!(
            !taken.contains(&number),
            "two partitions have the number {number}"
        );
        taken.push(number);
    }
    let mut given = taken.clone().into_iter();
    let mut numbers = Vec::new();
    for partition in partitions {
        let number = match partition.partnum {
            Some(_) => given.next(),
            None => (1..).find(|number| !taken.contains(number)),
        };
        let number = number.unwrap_or_default();
        taken.push(number);
        numbers.push(number);
    }
    Ok(numbers)
}

fn dos_type(text: Option<&str>) -> Result<u8> {
    let text = text.unwrap_or("83");
    Ok(match text.to_ascii_lowercase().as_str() {
        "l" | "linux" => 0x83,
        "s" | "swap" => 0x82,
        "u" | "uefi" => 0xef,
        "r" | "raid" => 0xfd,
        "v" | "lvm" => 0x8e,
        "e" | "extended" | "ex" | "x" => bail!("extended partitions cannot be made here: use a GPT"),
        hex => {
            let hex = hex.trim_start_matches("0x");
            let kind = u8::from_str_radix(hex, 16);
            let kind = kind.with_context(|| format!("`{text}` is no type of a DOS partition"))?;
            ensure!(
                !matches!(kind, 0x05 | 0x0f | 0x85),
                "extended partitions cannot be made here: use a GPT"
            );
            kind
        }
    })
}

#[cfg(test)]
mod tests;
