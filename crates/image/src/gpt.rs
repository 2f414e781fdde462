//! GUID partition tables, as the UEFI specification (2.10, section 5) lays them out, for 512-byte sectors.
//!
//! ```text
//! LBA 0        protective MBR: one entry of type 0xee over the whole disk
//! LBA 1        header
//! LBA 2..33    128 entries of 128 bytes
//! LBA 34..-34  partitions
//! LBA -33..-2  the same entries
//! LBA -1       header, its own and the other's place swapped
//! ```

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

impl Table {
    /// The bytes of the first 34 sectors and of the last 33.
    ///
    /// Refuses partitions that overlap, lie outside the usable space or have too long a name.
    pub fn encode(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        self.check()?;
        let entries = self.entries();
        let last = self.sectors - 1;
        let mut primary = dos::protective(self.sectors).to_vec();
        primary.extend(self.header(1, last, 2, &entries));
        primary.extend(&entries);
        let mut backup = entries.clone();
        backup.extend(self.header(last, 1, self.sectors - BACKUP_SECTORS, &entries));
        Ok((primary, backup))
    }

    fn check(&self) -> Result<()> {
        let needed = FIRST_USABLE + BACKUP_SECTORS + 1;
        if self.sectors < needed {
            return Err(Error::TooSmall {
                what: "a disk with a GPT",
                given: self.sectors * SECTOR,
                needed: needed * SECTOR,
            });
        }
        if self.partitions.len() > ENTRIES {
            return Err(Error::unsuitable("a GPT holds at most 128 partitions"));
        }
        let mut sorted: Vec<_> = self.partitions.iter().collect();
        sorted.sort_by_key(|p| p.first);
        let mut free = FIRST_USABLE;
        for partition in sorted {
            let end = partition.first.saturating_add(partition.sectors);
            if partition.sectors == 0 || partition.first < free || end > self.sectors - BACKUP_SECTORS {
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

    fn entries(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRIES * ENTRY_SIZE);
        for partition in &self.partitions {
            let start = bytes.len();
            bytes.extend(partition.type_guid.to_bytes_le());
            bytes.extend(partition.guid.to_bytes_le());
            bytes.extend(partition.first.to_le_bytes());
            bytes.extend((partition.first + partition.sectors - 1).to_le_bytes());
            bytes.extend(partition.attributes.to_le_bytes());
            bytes.extend(partition.name.encode_utf16().flat_map(u16::to_le_bytes));
            bytes.resize(start + ENTRY_SIZE, 0);
        }
        bytes.resize(ENTRIES * ENTRY_SIZE, 0);
        bytes
    }

    fn header(&self, own: u64, other: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SECTOR as usize);
        bytes.extend(b"EFI PART");
        bytes.extend(0x0001_0000u32.to_le_bytes());
        bytes.extend((HEADER_SIZE as u32).to_le_bytes());
        bytes.extend([0; 8]); // checksum of the header, and reserved
        bytes.extend(own.to_le_bytes());
        bytes.extend(other.to_le_bytes());
        bytes.extend(FIRST_USABLE.to_le_bytes());
        bytes.extend((self.sectors - BACKUP_SECTORS - 1).to_le_bytes());
        bytes.extend(self.disk_guid.to_bytes_le());
        bytes.extend(entries_at.to_le_bytes());
        bytes.extend((ENTRIES as u32).to_le_bytes());
        bytes.extend((ENTRY_SIZE as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&bytes).to_le_bytes();
        bytes[16..20].copy_from_slice(&checksum);
        bytes.resize(SECTOR as usize, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use super::*;

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
    fn overlaps_and_ends_are_refused() {
        let mut overlap = table();
        overlap.partitions[1].first = 4000;
        assert!(overlap.encode().is_err());
        let mut outside = table();
        outside.partitions[2].sectors = 60_000;
        assert!(outside.encode().is_err());
    }
}
