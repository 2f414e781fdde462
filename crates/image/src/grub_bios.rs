//! GRUB's boot blocks on a BIOS machine: `boot.img` in sector 0, `core.img` in consecutive sectors of a partition.
//!
//! ```text
//! boot.img  0x05c  u64  sector of core.img
//!           0x066  u8×2 a jump; two no-ops there make it distrust a drive number below 0x80, as on any hard disk
//!           0x1b8  …    signature and entries of the partition table: the disk's, not ours
//! core.img  0x1f4  u64  first sector after the first one, u16 how many, u16 segment they are loaded to
//!           0x1e8  12 zero bytes: the list ends
//! ```
//!
//! The offsets are those of GRUB 2 (`include/grub/i386/pc/boot.h`, `offsets.h`).

use crate::{Error, Result, dos};

const SECTOR: usize = 512;
const CORE_SECTOR_AT: usize = 0x5c;
const DRIVE_CHECK_AT: usize = 0x66;
const BLOCK_LIST_AT: usize = SECTOR - 12;
/// `core.img` is loaded to 0x8000; what follows its first sector goes right behind it.
const SECOND_SECTOR_SEGMENT: u16 = 0x820;
/// What is loaded must end below 0x78000.
const MAX_CORE_SECTORS: usize = (0x78000 - 0x8200) / SECTOR;

/// Sector 0 of the disk: `boot_img` with the partition table of `sector_0`, made to load `core.img` at `core_sector`.
pub fn boot_sector(boot_img: &[u8], sector_0: &[u8; SECTOR], core_sector: u64) -> Result<[u8; SECTOR]> {
    let mut sector: [u8; SECTOR] = boot_img.try_into().map_err(|_| {
        Error::unsuitable(format!(
            "boot.img has {} bytes, not {SECTOR}: it is not GRUB's",
            boot_img.len()
        ))
    })?;
    if sector[510..] != [0x55, 0xaa] {
        return Err(Error::unsuitable(
            "boot.img lacks the boot signature: it is not GRUB's",
        ));
    }
    sector[CORE_SECTOR_AT..CORE_SECTOR_AT + 8].copy_from_slice(&core_sector.to_le_bytes());
    sector[DRIVE_CHECK_AT..DRIVE_CHECK_AT + 2].copy_from_slice(&[0x90, 0x90]);
    sector[dos::SIGNATURE_AT..510].copy_from_slice(&sector_0[dos::SIGNATURE_AT..510]);
    Ok(sector)
}

/// `core.img` as it is written from `core_sector` on: whole sectors, its block list pointing to them.
///
/// `room` is the number of sectors there.
pub fn core_image(core_img: &[u8], core_sector: u64, room: u64) -> Result<Vec<u8>> {
    let sectors = core_img.len().div_ceil(SECTOR);
    if sectors < 2 {
        return Err(Error::unsuitable(
            "core.img is shorter than two sectors: it is not GRUB's",
        ));
    }
    if sectors > MAX_CORE_SECTORS || sectors as u64 > room {
        return Err(Error::TooSmall {
            what: "space for GRUB's core.img",
            given: room.min(MAX_CORE_SECTORS as u64) * SECTOR as u64,
            needed: (sectors * SECTOR) as u64,
        });
    }
    let mut bytes = core_img.to_vec();
    bytes.resize(sectors * SECTOR, 0);
    let list = &mut bytes[BLOCK_LIST_AT - 12..SECTOR];
    list.fill(0);
    list[12..20].copy_from_slice(&(core_sector + 1).to_le_bytes());
    list[20..22].copy_from_slice(&(sectors as u16 - 1).to_le_bytes());
    list[22..].copy_from_slice(&SECOND_SECTOR_SEGMENT.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_table_stays_and_the_boot_code_finds_the_core() {
        let mut boot = [7u8; SECTOR];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let table = dos::protective(100_000);
        let sector = boot_sector(&boot, &table, 2048).unwrap();
        assert_eq!(sector[0x1b8..], table[0x1b8..]);
        assert_eq!(sector[0x5c..0x64], 2048u64.to_le_bytes());
        assert_eq!(sector[0x66..0x68], [0x90, 0x90]);
        assert_eq!(sector[..0x5c], boot[..0x5c]);
        assert!(boot_sector(&boot[1..], &table, 2048).is_err());
    }

    #[test]
    fn the_core_lists_the_sectors_after_its_first() {
        let core = core_image(&vec![1; 1300], 2048, 2048).unwrap();
        assert_eq!(core.len(), 1536);
        assert_eq!(core[500..508], 2049u64.to_le_bytes());
        assert_eq!(core[508..512], [2, 0, 0x20, 0x08]);
        assert_eq!(core[488..500], [0; 12]);
        assert!(core_image(&vec![1; 1300], 2048, 2).is_err());
        assert!(core_image(&vec![1; 600_000], 2048, 2048).is_err());
    }
}
