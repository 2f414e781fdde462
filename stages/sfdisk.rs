//! Write a partition table, as sfdisk(8) does.
//!
//! `start` and `size` are in sectors of the device. A partition without a start begins at the first free whole MiB; one
//! without a size takes what is free behind its start. What a GPT needs and nobody gave (GUIDs of partitions) is derived
//! from the table's GUID. Boot code in the first sector stays.

use image::partition_table::{self, Entry};
use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

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
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (target, options) = (Target::open(&args, "device")?, &args.options);
    let label = match options.label {
        Label::Gpt => partition_table::Label::gpt(&options.uuid),
        Label::Dos | Label::Mbr => partition_table::Label::dos(&options.uuid),
    };
    let entries = options.partitions.iter().map(Partition::entry);
    let laid = label.context("`uuid`")?.lay_out(
        &entries.collect::<Result<Vec<_>>>()?,
        target.size,
        target.sector,
    )?;
    for place in &laid.partitions {
        println!(
            "{}: start={}, size={}, type={}",
            place.number,
            place.sectors.start,
            place.sectors.end - place.sectors.start,
            place.kind
        );
    }
    Ok(laid.write(&target.image, target.start)?)
}

impl Partition {
    fn entry(&self) -> Result<Entry> {
        let number = |number: i64| {
            let number = usize::try_from(number).ok().filter(|number| *number > 0);
            number.context("`partnum` counts from 1")
        };
        // the bits between are reserved by the specification
        let bits = self.attrs.iter().flatten().filter(|bit| **bit < 3 || **bit >= 48);
        let guid = self.uuid.as_deref();
        Ok(Entry {
            number: self.partnum.map(number).transpose()?,
            start: sectors(self.start, "start")?,
            size: sectors(self.size, "size")?,
            kind: self.kind.clone(),
            bootable: self.bootable,
            name: self.name.clone().unwrap_or_default(),
            guid: guid.map(|text| disk::uuid(text, "partitions.uuid")).transpose()?,
            attributes: bits.fold(0, |all, bit| all | 1 << bit),
        })
    }
}

/// 0 means the same as nothing.
fn sectors(value: Option<i64>, name: &str) -> Result<Option<u64>> {
    let value = value.filter(|value| *value != 0);
    let sectors = value.map(|value| u64::try_from(value).with_context(|| format!("`{name}` is {value}")));
    sectors.transpose()
}

#[cfg(test)]
mod tests;
