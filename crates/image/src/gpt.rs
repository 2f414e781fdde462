//! GUID partition tables, as the UEFI specification (2.10, section 5) lays them out; here for 512-byte sectors.
//!
//! ```text
//! LBA 0        protective MBR: one entry of type 0xee over the whole disk
//! LBA 1        header
//! LBA 2..33    128 entries of 128 bytes
//! LBA 34..-34  partitions
//! LBA -33..-2  the same entries
//! LBA -1       header, its own and the other's place swapped
//! ```
//!
//! With larger sectors the entries take fewer of them ([`Format`]).

use uuid::Uuid;

use crate::{Error, Result, dos};

/// Bytes in a sector.
pub const SECTOR: u64 = 512;
/// The first sector a partition may have.
pub const FIRST_USABLE: u64 = 34;
/// Sectors at the end that hold the backup.
pub const BACKUP_SECTORS: u64 = 33;

const ENTRIES: usize = 128;
const ENTRY_SIZE: usize = 128;
const HEADER_SIZE: usize = 92;
const NAME_UNITS: usize = 36;

/// An EFI system partition.
pub const TYPE_ESP: Uuid = Uuid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
/// A BIOS boot partition: raw space for GRUB's `core.img`.
pub const TYPE_BIOS_BOOT: Uuid = Uuid::from_u128(0x21686148_6449_6e6f_744e_656564454649);
/// A Linux file system.
pub const TYPE_LINUX: Uuid = Uuid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);

/// Attribute: firmware and tools must leave the partition alone.
pub const REQUIRED: u64 = 1 << 0;
/// Attribute: EFI firmware does not look into it.
pub const NO_BLOCK_IO: u64 = 1 << 1;
/// Attribute: a legacy BIOS may boot from it.
pub const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub type_guid: Uuid,
    pub guid: Uuid,
    /// First sector.
    pub first: u64,
    /// Number of sectors.
    pub sectors: u64,
    pub attributes: u64,
    /// At most 36 UTF-16 units.
    pub name: String,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub disk_guid: Uuid,
    /// Sectors of the whole disk.
    pub sectors: u64,
    pub partitions: Vec<Partition>,
}

/// How a table is put on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Bytes in a sector.
    pub sector: u64,
    /// The first sector that the header lets partitions have; not below [`Format::smallest_usable`].
    pub first_usable: u64,
    /// The partitions' numbers, from 1, where they are not simply counted.
    pub numbers: Vec<usize>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            sector: SECTOR,
            first_usable: FIRST_USABLE,
            numbers: Vec::new(),
        }
    }
}

impl Format {
    /// Sectors that the entries take.
    fn entry_sectors(&self) -> u64 {
        ((ENTRIES * ENTRY_SIZE) as u64).div_ceil(self.sector)
    }

    /// The first sector behind the table.
    pub fn smallest_usable(&self) -> u64 {
        2 + self.entry_sectors()
    }

    /// Sectors at the end that hold the backup.
    pub fn backup_sectors(&self) -> u64 {
        self.entry_sectors() + 1
    }

    /// The number of the partition that stands at `index`.
    fn number(&self, index: usize) -> usize {
        self.numbers.get(index).copied().unwrap_or(index + 1)
    }
}

impl Table {
    /// The bytes of the first 34 sectors and of the last 33.
    ///
    /// Refuses partitions that overlap, lie outside the usable space or have too long a name.
    pub fn encode(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        self.encode_as(&Format::default())
    }

    /// The bytes of the first [`Format::smallest_usable`] sectors and of the last [`Format::backup_sectors`].
    ///
    /// Refuses what [`Table::encode`] refuses, and numbers that come twice or are none of 1 to 128.
    pub fn encode_as(&self, format: &Format) -> Result<(Vec<u8>, Vec<u8>)> {
        self.check(format)?;
        let entries = self.entries(format)?;
        let last = self.sectors - 1;
        let mut primary = dos::protective(self.sectors).to_vec();
        primary.resize(format.sector as usize, 0);
        primary.extend(self.header(format, (1, last), 2, &entries));
        primary.extend(&entries);
        let mut backup = entries.clone();
        let entries_at = self.sectors - format.backup_sectors();
        backup.extend(self.header(format, (last, 1), entries_at, &entries));
        Ok((primary, backup))
    }

    fn check(&self, format: &Format) -> Result<()> {
        let needed = format.smallest_usable() + format.backup_sectors() + 1;
        if self.sectors < needed {
            return Err(Error::TooSmall {
                what: "a disk with a GPT",
                given: self.sectors * format.sector,
                needed: needed * format.sector,
            });
        }
        if self.partitions.len() > ENTRIES {
            return Err(Error::unsuitable("a GPT holds at most 128 partitions"));
        }
        let mut sorted: Vec<_> = self.partitions.iter().collect();
        sorted.sort_by_key(|p| p.first);
        let mut free = format.smallest_usable();
        for partition in sorted {
            let end = partition.first.saturating_add(partition.sectors);
            let too_far = end > self.sectors - format.backup_sectors();
            if partition.sectors == 0 || partition.first < free || too_far {
                return Err(Error::unsuitable(format!(
                    "partition `{}` is empty, overlaps another or lies outside the disk",
                    partition.name
                )));
            }
            if partition.name.encode_utf16().count() > NAME_UNITS {
                return Err(Error::unsuitable(format!(
                    "the partition name `{}` is longer than {NAME_UNITS} characters",
                    partition.name
                )));
            }
            free = end;
        }
        Ok(())
    }

    fn entries(&self, format: &Format) -> Result<Vec<u8>> {
        let mut bytes = vec![0; format.entry_sectors() as usize * format.sector as usize];
        let mut taken = [false; ENTRIES];
        for (index, partition) in self.partitions.iter().enumerate() {
            let number = format.number(index);
            match number.checked_sub(1).and_then(|slot| taken.get_mut(slot)) {
                Some(free) if !*free => *free = true,
                Some(_) => {
                    return Err(Error::unsuitable(format!(
                        "two partitions have the number {number}"
                    )));
                }
                None => {
                    return Err(Error::unsuitable(format!(
                        "a partition of a GPT cannot have the number {number}: they go from 1 to {ENTRIES}"
                    )));
                }
            }
            let start = (number - 1) * ENTRY_SIZE;
            let entry = partition.entry();
            bytes[start..start + entry.len()].copy_from_slice(&entry);
        }
        Ok(bytes)
    }

    fn header(&self, format: &Format, (own, other): (u64, u64), entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let entries = &entries[..ENTRIES * ENTRY_SIZE];
        let mut bytes = Vec::with_capacity(format.sector as usize);
        bytes.extend(b"EFI PART");
        bytes.extend(0x0001_0000u32.to_le_bytes());
        bytes.extend((HEADER_SIZE as u32).to_le_bytes());
        bytes.extend([0; 8]); // checksum of the header, and reserved
        bytes.extend(own.to_le_bytes());
        bytes.extend(other.to_le_bytes());
        bytes.extend(format.first_usable.to_le_bytes());
        bytes.extend((self.sectors - format.backup_sectors() - 1).to_le_bytes());
        bytes.extend(self.disk_guid.to_bytes_le());
        bytes.extend(entries_at.to_le_bytes());
        bytes.extend((ENTRIES as u32).to_le_bytes());
        bytes.extend((ENTRY_SIZE as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&bytes).to_le_bytes();
        bytes[16..20].copy_from_slice(&checksum);
        bytes.resize(format.sector as usize, 0);
        bytes
    }
}

impl Partition {
    fn entry(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_SIZE);
        bytes.extend(self.type_guid.to_bytes_le());
        bytes.extend(self.guid.to_bytes_le());
        bytes.extend(self.first.to_le_bytes());
        bytes.extend((self.first + self.sectors - 1).to_le_bytes());
        bytes.extend(self.attributes.to_le_bytes());
        bytes.extend(self.name.encode_utf16().flat_map(u16::to_le_bytes));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use super::*;
    use crate::SparseFile;

    fn table() -> Table {
        let partition = |n: u128, type_guid, first, sectors, attributes, name: &str| Partition {
            type_guid,
            guid: Uuid::from_u128(n),
            first,
            sectors,
            attributes,
            name: name.into(),
        };
        Table {
            disk_guid: Uuid::from_u128(0x2eb8_3f8a_1c4b_4f3a_a5a5_0011_2233_4455),
            sectors: 65_536,
            partitions: vec![
                partition(1, TYPE_BIOS_BOOT, 2048, 2048, LEGACY_BIOS_BOOTABLE, "bios"),
                partition(2, TYPE_ESP, 4096, 8192, 0, "esp"),
                partition(3, TYPE_LINUX, 12_288, 53_000, 0, "würzel"),
            ],
        }
    }

    fn run(tool: &str, args: &[&str], file: &std::path::Path) -> Option<String> {
        let Ok(output) = Command::new(tool)
            .env("LC_ALL", "C.UTF-8")
            .args(args)
            .arg(file)
            .output()
        else {
            println!("skipped: {tool} is not installed");
            return None;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{tool}: {text}");
        Some(text)
    }

    #[test]
    fn other_tools_accept_the_table() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (primary, backup) = table().encode().unwrap();
        file.as_file().set_len(65_536 * SECTOR).unwrap();
        file.as_file().write_all_at(&primary, 0).unwrap();
        file.as_file()
            .write_all_at(&backup, (65_536 - BACKUP_SECTORS) * SECTOR)
            .unwrap();
        if let Some(text) = run("sgdisk", &["-v"], file.path()) {
            assert!(text.contains("No problems found"), "{text}");
        }
        if let Some(text) = run("sfdisk", &["-V"], file.path()) {
            assert!(text.contains("No errors detected"), "{text}");
        }
        if let Some(text) = run("sfdisk", &["-d"], file.path()) {
            let lines: Vec<_> = text.lines().filter(|line| line.contains("start=")).collect();
            assert!(
                lines[0].contains("start=        2048, size=        2048"),
                "{text}"
            );
            assert!(lines[0].contains("LegacyBIOSBootable"), "{text}");
            assert!(lines[2].contains(r#"name="w\xc3\xbcrzel""#), "{text}");
            assert!(
                text.contains("label-id: 2EB83F8A-1C4B-4F3A-A5A5-001122334455"),
                "{text}"
            );
        }
    }

    #[test]
    fn sectors_of_4096_bytes_and_numbers_with_gaps() {
        let mut table = table();
        table.sectors = 16_384;
        table.partitions.truncate(2);
        for (partition, first) in table.partitions.iter_mut().zip([6, 4096]) {
            (partition.first, partition.sectors) = (first, 1024);
        }
        let format = Format {
            sector: 4096,
            first_usable: 6,
            numbers: vec![3, 14],
        };
        let (primary, backup) = table.encode_as(&format).unwrap();
        assert_eq!((primary.len(), backup.len()), (6 * 4096, 5 * 4096));
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 64 << 20).unwrap();
        image.write(&primary, 0).unwrap();
        image.write(&backup, (16_384 - 5) * 4096).unwrap();
        let found = crate::partitions::read(&image, 0, 64 << 20, 4096).unwrap();
        let found: Vec<_> = found.iter().map(|p| (p.number, p.start, p.size)).collect();
        assert_eq!(found, [(3, 6 * 4096, 4 << 20), (14, 16 << 20, 4 << 20)]);
        let twice = Format {
            numbers: vec![3, 3],
            ..format
        };
        assert!(table.encode_as(&twice).is_err());
    }

    #[test]
    fn overlaps_and_ends_are_refused() {
        let mut overlap = table();
        overlap.partitions[1].first = 4000;
        assert!(overlap.encode().is_err());
        let mut outside = table();
        outside.partitions[2].sectors = 60_000;
        assert!(outside.encode().is_err());
    }
}
