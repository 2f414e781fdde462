//! DOS partition tables: up to four primary partitions in sector 0.

use crate::{Error, Result};

/// Where the disk signature lies in sector 0; boot code must end before.
pub const SIGNATURE_AT: usize = 0x1b8;
/// Where the four entries lie.
pub const ENTRIES_AT: usize = 0x1be;

/// A primary partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The type byte: 0x83 Linux, 0xef EFI system, 0x0c FAT32.
    pub kind: u8,
    pub bootable: bool,
    /// First sector.
    pub first: u32,
    /// Number of sectors.
    pub sectors: u32,
}

/// A table of at most four partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's identifier: the first part of its partitions' `PARTUUID`, in hexadecimal.
    pub signature: u32,
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Sector 0, without boot code. Refuses more than four partitions, and ones that overlap or do not fit.
    pub fn encode(&self, disk_sectors: u64) -> Result<[u8; 512]> {
        let numbers: Vec<usize> = (1..=self.partitions.len()).collect();
        self.encode_at(disk_sectors, &numbers)
    }

    /// [`Table::encode`] with these numbers of the partitions, 1 to 4.
    pub fn encode_at(&self, disk_sectors: u64, numbers: &[usize]) -> Result<[u8; 512]> {
        if let Some(wrong) = numbers.iter().find(|number| !(1..=4).contains(*number)) {
            return Err(Error::unsuitable(format!(
                "a primary partition cannot have the number {wrong}: they go from 1 to 4"
            )));
        }
        if self.partitions.len() > 4 {
            return Err(Error::unsuitable(
                "a DOS table holds at most 4 primary partitions",
            ));
        }
        let mut sorted: Vec<_> = self.partitions.iter().collect();
        sorted.sort_by_key(|p| p.first);
        let mut free = 1;
        for partition in sorted {
            let end = u64::from(partition.first) + u64::from(partition.sectors);
            if partition.sectors == 0 || u64::from(partition.first) < free || end > disk_sectors {
                return Err(Error::unsuitable(format!(
                    "the partition at sector {} is empty, overlaps another or lies outside the disk",
                    partition.first
                )));
            }
            free = end;
        }
        let mut sector = [0; 512];
        sector[SIGNATURE_AT..SIGNATURE_AT + 4].copy_from_slice(&self.signature.to_le_bytes());
        for (number, partition) in numbers.iter().zip(&self.partitions) {
            let chs = (
                chs(partition.first),
                chs(partition.first + (partition.sectors - 1)),
            );
            put_entry(&mut sector, number - 1, partition, chs);
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        Ok(sector)
    }
}

/// The sector before a GPT that tells old tools that the disk is not empty (UEFI 2.10, 5.2.3).
pub fn protective(disk_sectors: u64) -> [u8; 512] {
    let partition = Partition {
        kind: 0xee,
        bootable: false,
        first: 1,
        sectors: u32::try_from(disk_sectors - 1).unwrap_or(u32::MAX),
    };
    let mut sector = [0; 512];
    put_entry(&mut sector, 0, &partition, ([0, 2, 0], [0xff; 3]));
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Where the last sector of a disk lies, by cylinder, head and sector, as sgdisk(8) writes it into a protective entry.
pub fn last_sector_of(disk_sectors: u64) -> [u8; 3] {
    const REACHABLE: u64 = 1024 * 255 * 63;
    match u32::try_from(disk_sectors.saturating_sub(1)) {
        Ok(last) if disk_sectors <= REACHABLE => chs(last),
        _ => [0xff; 3],
    }
}

fn put_entry(sector: &mut [u8; 512], index: usize, partition: &Partition, chs: ([u8; 3], [u8; 3])) {
    let entry = &mut sector[ENTRIES_AT + index * 16..][..16];
    entry[0] = if partition.bootable { 0x80 } else { 0 };
    entry[1..4].copy_from_slice(&chs.0);
    entry[4] = partition.kind;
    entry[5..8].copy_from_slice(&chs.1);
    entry[8..12].copy_from_slice(&partition.first.to_le_bytes());
    entry[12..16].copy_from_slice(&partition.sectors.to_le_bytes());
}

/// A sector's place by cylinder, head and sector for the usual 255 heads and 63 sectors; the greatest value where it
/// lies beyond.
fn chs(lba: u32) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    [
        head as u8,
        sector as u8 | ((cylinder >> 2) & 0xc0) as u8,
        cylinder as u8,
    ]
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use super::*;

    #[test]
    fn sfdisk_reads_the_table() {
        let part = |kind, bootable, first, sectors| Partition {
            kind,
            bootable,
            first,
            sectors,
        };
        let table = Table {
            signature: 0x1234_abcd,
            partitions: vec![
                part(0x83, true, 2048, 8192),
                part(0xef, false, 10_240, 20_000_000),
            ],
        };
        let sectors = 20_100_000;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&table.encode(sectors).unwrap()).unwrap();
        file.as_file().set_len(sectors * 512).unwrap();
        let Ok(output) = Command::new("sfdisk").arg("-d").arg(file.path()).output() else {
            return println!("skipped: sfdisk is not installed");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("label-id: 0x1234abcd"), "{text}");
        assert!(
            text.contains("start=        2048, size=        8192, type=83, bootable"),
            "{text}"
        );
        assert!(
            text.contains("start=       10240, size=    20000000, type=ef"),
            "{text}"
        );
        assert!(table.encode(20_000_000).is_err());
    }
}
