//! Write a GUID partition table, as parted(8) does.
//!
//! `start` and `size` are in sectors of the device. The partitions are numbered in their order. parted draws the GUIDs of
//! the table and the partitions by lot; here they are derived from the stage's id. Boot code in the first sector stays
//! where there is a GPT already.

use image::gpt::{self, Format};
use module::{Args, Context, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::disk::{self, Target};

/// Options of `org.osbuild.parted`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The kind of table.
    #[serde(rename = "label")]
    _label: Label,
    /// The partitions, in their order on the disk.
    #[serde(default)]
    #[schemars(extend("required" = ["start", "size", "name"]))]
    partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Gpt,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Partition {
    /// Boot from it: makes it an EFI system partition, as parted's flag `boot` does.
    #[serde(default)]
    bootable: bool,
    /// Its name.
    name: Option<String>,
    /// Its size in sectors.
    size: Option<i64>,
    /// Its first sector.
    start: Option<i64>,
    /// A flag of parted's that is set, such as `esp`, `lvm`, `bios_grub` or `legacy_boot`.
    #[serde(rename = "type")]
    flag: Option<String>,
}

module::stage! {
    file: "parted.rs", name: "org.osbuild.parted", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

/// What parted's flags make of a partition in a GPT: its type.
const TYPES: [(&str, Uuid); 16] = [
    ("boot", gpt::TYPE_ESP),
    ("esp", gpt::TYPE_ESP),
    ("bios_grub", gpt::TYPE_BIOS_BOOT),
    ("swap", Uuid::from_u128(0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f)),
    ("raid", Uuid::from_u128(0xa19d880f_05fc_4d3b_a006_743f0f84911e)),
    ("lvm", Uuid::from_u128(0xe6d6d379_f507_44c2_a23c_238f2a3df928)),
    (
        "hp-service",
        Uuid::from_u128(0xe2a1e728_32e3_11d6_a682_7b03a0000000),
    ),
    ("prep", Uuid::from_u128(0x9e1a2d38_c612_4316_aa26_8b49521e5a8b)),
    ("msftres", Uuid::from_u128(0xe3c9e316_0b5c_4db8_817d_f92df00215ae)),
    (
        "msftdata",
        Uuid::from_u128(0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7),
    ),
    ("atvrecv", Uuid::from_u128(0x5265636f_7665_11aa_aa11_00306543ecac)),
    ("diag", Uuid::from_u128(0xde94bba4_06d1_4d40_a16a_bfd50179d6ac)),
    ("irst", Uuid::from_u128(0xd3bfe2de_3daf_11df_ba40_e3a556d89593)),
    (
        "chromeos_kernel",
        Uuid::from_u128(0xfe3a2a5d_4f32_41a7_b725_accc3285a309),
    ),
    (
        "bls_boot",
        Uuid::from_u128(0xbc13c2ff_59e6_4262_a352_b275fd6f7172),
    ),
    (
        "linux-home",
        Uuid::from_u128(0x933ac7e1_2eb4_4f13_b844_0e14e2aef915),
    ),
];
/// And these: attributes.
const ATTRIBUTES: [(&str, u64); 3] = [
    ("hidden", gpt::REQUIRED),
    ("legacy_boot", gpt::LEGACY_BIOS_BOOTABLE),
    ("no_automount", 1 << 63),
];
/// Bytes of sector 0 that hold boot code.
const BOOT_CODE: usize = 440;

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let disk_guid = disk::derived(&args, "partition table");
    let partitions = args.options.partitions.iter().zip(1..);
    let partitions = partitions.map(|(partition, number)| {
        let made = partition.made(number, &disk_guid);
        let made = made.with_context(|| format!("partition {number}"))?;
        println!(
            "{number}: start={}, size={}, type={}",
            made.first, made.sectors, made.type_guid
        );
        Ok(made)
    });
    let table = gpt::Table {
        disk_guid,
        sectors: target.sectors(),
        partitions: partitions.collect::<Result<_>>()?,
    };
    let mut format = Format {
        sector: target.sector,
        ..Format::default()
    };
    format.first_usable = format.smallest_usable();
    let (mut primary, backup) = table.encode_as(&format)?;
    let mut magic = [0; 8];
    target.read(&mut magic, target.sector)?;
    if &magic == b"EFI PART" {
        target.read(&mut primary[..BOOT_CODE], 0)?;
    }
    target.write(&primary, 0)?;
    target.write(&backup, (table.sectors - format.backup_sectors()) * target.sector)
}

impl Partition {
    fn made(&self, number: usize, disk: &Uuid) -> Result<gpt::Partition> {
        let mut made = gpt::Partition {
            type_guid: gpt::TYPE_LINUX,
            guid: Uuid::new_v5(disk, format!("partition {number}").as_bytes()),
            first: sectors(self.start, "start")?,
            sectors: sectors(self.size, "size")?,
            attributes: 0,
            name: self.name.clone().unwrap_or_default(),
        };
        let flags = self.bootable.then_some("boot").into_iter();
        for flag in flags.chain(self.flag.as_deref().filter(|flag| !flag.is_empty())) {
            set(&mut made, flag)?;
        }
        Ok(made)
    }
}

fn sectors(value: Option<i64>, name: &str) -> Result<u64> {
    let value = value.with_context(|| format!("`{name}` is missing"))?;
    u64::try_from(value).with_context(|| format!("`{name}` is {value}"))
}

/// Sets a flag of parted's. Of several that are types the last one counts.
fn set(partition: &mut gpt::Partition, flag: &str) -> Result<()> {
    if let Some((_, guid)) = TYPES.iter().find(|(name, _)| *name == flag) {
        partition.type_guid = *guid;
    } else if let Some((_, bit)) = ATTRIBUTES.iter().find(|(name, _)| *name == flag) {
        partition.attributes |= bit;
    } else {
        bail!("parted has no flag `{flag}` for the partitions of a GPT");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
