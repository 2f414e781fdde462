//! Partition tables as sfdisk(8) makes them: partitions get places, numbers and types, then the table its bytes.
//!
//! `start` and `size` are in sectors. A partition without a start begins at the first free whole MiB; one without a size
//! takes what is free behind its start. What a GPT needs and nobody gave (GUIDs of partitions) derives from the table's.

use std::ops::Range;

use uuid::Uuid;

use crate::gpt::{self, Format};
use crate::space::{self, Space, Wanted};
use crate::{Error, Result, SparseFile, dos};

/// Bytes of sector 0 that hold boot code.
const BOOT_CODE: usize = 440;

/// The kind of table, and what identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    Dos { signature: u32 },
    Gpt { guid: Uuid },
}

/// What is asked of a partition.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// From 1; without one the smallest that is free.
    pub number: Option<usize>,
    /// First sector.
    pub start: Option<u64>,
    /// Number of sectors.
    pub size: Option<u64>,
    /// A GUID (GPT), a hexadecimal number (DOS), or one of sfdisk's short forms; a Linux file system by default.
    pub kind: Option<String>,
    /// DOS only.
    pub bootable: bool,
    /// GPT only, like what follows.
    pub name: String,
    pub guid: Option<Uuid>,
    pub attributes: u64,
}

/// A table whose partitions have places.
#[derive(Debug)]
pub struct Laid {
    /// The partitions, as they were asked for.
    pub partitions: Vec<Place>,
    sector: u64,
    sectors: u64,
    primary: Vec<u8>,
    backup: Vec<u8>,
}

/// Where a partition lies.
#[derive(Debug, Clone)]
pub struct Place {
    pub number: usize,
    pub sectors: Range<u64>,
    /// As the table has it: a GUID, or two hexadecimal digits.
    pub kind: String,
}

impl Label {
    /// The label of a DOS table that a number such as `0x14fc63d2` identifies.
    pub fn dos(identifier: &str) -> Result<Self> {
        let digits = identifier.trim_start_matches("0x");
        let signature = u32::from_str_radix(digits, 16).map_err(|_| {
            Error::unsuitable(format!(
                "a DOS table is identified by a number such as 0x14fc63d2, not by `{identifier}`"
            ))
        })?;
        Ok(Self::Dos { signature })
    }

    /// The label of a GPT that this GUID identifies.
    pub fn gpt(identifier: &str) -> Result<Self> {
        let guid = Uuid::parse_str(identifier).map_err(|_| {
            Error::unsuitable(format!("a GPT is identified by a UUID, not by `{identifier}`"))
        })?;
        Ok(Self::Gpt { guid })
    }

    /// Lays out `entries` on a disk of `size` bytes in sectors of `sector` bytes.
    pub fn lay_out(&self, entries: &[Entry], size: u64, sector: u64) -> Result<Laid> {
        match self {
            Self::Dos { signature } => dos_table(*signature, entries, size, sector),
            Self::Gpt { guid } => gpt_table(*guid, entries, size, sector),
        }
    }

    /// Sectors behind the last partition that the table needs.
    pub fn behind(&self, sector: u64) -> u64 {
        match self {
            Self::Dos { .. } => 0,
            Self::Gpt { .. } => format(sector).backup_sectors(),
        }
    }
}

impl Laid {
    /// Writes the table on the disk that begins at `offset` of `image`. Boot code in the first sector stays.
    pub fn write(&self, image: &SparseFile, offset: u64) -> Result<()> {
        let mut primary = self.primary.clone();
        image.read(&mut primary[..BOOT_CODE], offset)?;
        image.write(&primary, offset)?;
        let backup_sectors = self.backup.len() as u64 / self.sector;
        image.write(
            &self.backup,
            offset + (self.sectors - backup_sectors) * self.sector,
        )
    }
}

fn format(sector: u64) -> Format {
    Format {
        sector,
        ..Format::default()
    }
}

fn gpt_table(disk_guid: Uuid, entries: &[Entry], size: u64, sector: u64) -> Result<Laid> {
    let sectors = size / sector;
    let mut format = Format {
        numbers: numbers(entries)?,
        ..format(sector)
    };
    let smallest = format.smallest_usable();
    let first = space::first_usable(size, sector).max(smallest);
    let end = sectors.saturating_sub(format.backup_sectors());
    let places = Space::new(size, sector, first..end).place(&wanted(entries))?;
    // partitions before the first whole MiB are rare, but nobody forbids them
    format.first_usable = places
        .iter()
        .map(|place| place.start)
        .fold(first, u64::min)
        .max(smallest);
    let mut table = gpt::Table {
        disk_guid,
        sectors,
        partitions: Vec::new(),
    };
    let mut partitions = Vec::new();
    for ((entry, place), number) in entries.iter().zip(&places).zip(&format.numbers) {
        let type_guid = type_guid(entry.kind.as_deref())?;
        let derived = || Uuid::new_v5(&disk_guid, format!("partition {number}").as_bytes());
        table.partitions.push(gpt::Partition {
            type_guid,
            guid: entry.guid.unwrap_or_else(derived),
            first: place.start,
            sectors: place.end - place.start,
            attributes: entry.attributes,
            name: entry.name.clone(),
        });
        partitions.push(Place {
            number: *number,
            sectors: place.clone(),
            kind: type_guid.to_string(),
        });
    }
    let (primary, backup) = table.encode_as(&format)?;
    Ok(Laid {
        partitions,
        sector,
        sectors,
        primary,
        backup,
    })
}

fn dos_table(signature: u32, entries: &[Entry], size: u64, sector: u64) -> Result<Laid> {
    let sectors = size / sector;
    let usable = space::first_usable(size, sector)..sectors.min(u64::from(u32::MAX));
    let places = Space::new(size, sector, usable).place(&wanted(entries))?;
    let numbers = numbers(entries)?;
    let mut table = dos::Table {
        signature,
        partitions: Vec::new(),
    };
    let mut partitions = Vec::new();
    for ((entry, place), number) in entries.iter().zip(&places).zip(&numbers) {
        let kind = dos_type(entry.kind.as_deref())?;
        table.partitions.push(dos::Partition {
            kind,
            bootable: entry.bootable,
            first: place.start as u32,
            sectors: (place.end - place.start) as u32,
        });
        partitions.push(Place {
            number: *number,
            sectors: place.clone(),
            kind: format!("{kind:02x}"),
        });
    }
    Ok(Laid {
        primary: table.encode_at(sectors, &numbers)?.to_vec(),
        backup: Vec::new(),
        partitions,
        sector,
        sectors,
    })
}

fn wanted(entries: &[Entry]) -> Vec<Wanted> {
    let wanted = |entry: &Entry| Wanted {
        start: entry.start,
        size: entry.size,
    };
    entries.iter().map(wanted).collect()
}

/// Those that are given, and for the others the smallest that are free.
fn numbers(entries: &[Entry]) -> Result<Vec<usize>> {
    let mut taken: Vec<usize> = Vec::new();
    for number in entries.iter().filter_map(|entry| entry.number) {
        if taken.contains(&number) {
            return Err(Error::unsuitable(format!(
                "two partitions have the number {number}"
            )));
        }
        taken.push(number);
    }
    let mut numbers = Vec::new();
    for entry in entries {
        let free = || (1..).find(|number| !taken.contains(number)).unwrap_or_default();
        let number = entry.number.unwrap_or_else(free);
        taken.push(number);
        numbers.push(number);
    }
    Ok(numbers)
}

/// The type of a partition in a GPT: a GUID, or one of sfdisk's short forms.
pub fn type_guid(text: Option<&str>) -> Result<Uuid> {
    let Some(text) = text else {
        return Ok(gpt::TYPE_LINUX);
    };
    let guid = match text.to_ascii_lowercase().as_str() {
        "l" | "linux" => return Ok(gpt::TYPE_LINUX),
        "u" | "uefi" => return Ok(gpt::TYPE_ESP),
        "s" | "swap" => "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        "h" | "home" => "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
        "r" | "raid" => "A19D880F-05FC-4D3B-A006-743F0F84911E",
        "v" | "lvm" => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        _ => text,
    };
    Uuid::parse_str(guid).map_err(|_| Error::unsuitable(format!("`type` is no UUID: `{text}`")))
}

fn dos_type(text: Option<&str>) -> Result<u8> {
    let extended = || {
        Err(Error::unsuitable(
            "extended partitions cannot be made here: use a GPT",
        ))
    };
    let text = text.unwrap_or("83");
    Ok(match text.to_ascii_lowercase().as_str() {
        "l" | "linux" => 0x83,
        "s" | "swap" => 0x82,
        "u" | "uefi" => 0xef,
        "r" | "raid" => 0xfd,
        "v" | "lvm" => 0x8e,
        "e" | "extended" | "ex" | "x" => return extended(),
        hex => match u8::from_str_radix(hex.trim_start_matches("0x"), 16) {
            Ok(0x05 | 0x0f | 0x85) => return extended(),
            Ok(kind) => kind,
            Err(_) => {
                return Err(Error::unsuitable(format!(
                    "`{text}` is no type of a DOS partition"
                )));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_guid_or_short_form() {
        let swap = type_guid(Some("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")).unwrap();
        assert_eq!(type_guid(Some("S")).unwrap(), swap);
        assert!(type_guid(Some("83")).is_err());
        assert_eq!(dos_type(Some("0xEF")).unwrap(), 0xef);
        assert!(dos_type(Some("5")).is_err());
    }

    #[test]
    fn identifiers_suit_their_table() {
        let signature = 0x14fc_63d2;
        assert_eq!(Label::dos("0x14fc63d2").unwrap(), Label::Dos { signature });
        assert!(Label::dos("D209C89E-EA5E-4FBD-B161-B461CCE297E0").is_err());
        assert!(Label::gpt("0x14fc63d2").is_err());
    }
}
