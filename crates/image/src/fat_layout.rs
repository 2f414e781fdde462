//! Where things lie in a FAT file system, and its boot sector. No I/O.
//!
//! ```text
//! reserved sectors   boot sector; FAT32: also FSInfo (1) and copies of both (6, 7)
//! FAT, FAT           the same table twice
//! root directory     FAT12 and FAT16 only: 512 entries
//! clusters 2, 3, …   files and directories
//! ```
//!
//! After Microsoft's «FAT: General Overview of On-Disk Format» 1.03.

use crate::{Error, Result, size::MIB};

/// Bytes in a sector, where the disk's are no larger.
pub const SECTOR: u64 = 512;
/// Entries of the root directory of FAT12 and FAT16.
pub const ROOT_ENTRIES: u64 = 512;

/// The width of a table entry. The number of clusters decides it for every reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Sizes in sectors, and the number of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub kind: Kind,
    /// Bytes in a sector.
    pub sector: u64,
    pub sectors: u32,
    pub per_cluster: u32,
    pub reserved: u32,
    pub per_fat: u32,
    pub root: u32,
    pub clusters: u32,
}

/// What a boot sector says beside the geometry.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Heads and sectors of a track, as a BIOS counts them.
    pub chs: (u16, u16),
    pub volume_id: u32,
    /// Padded with spaces.
    pub label: [u8; 11],
    /// The sector of the disk at which the file system begins.
    pub hidden: u32,
}

impl Kind {
    fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// The one that mkfs.fat(8) takes for `size` bytes.
    pub fn of_mkfs(size: u64) -> Self {
        match size {
            size if size < 4 * MIB => Self::Fat12,
            size if size <= 512 * MIB => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    fn clusters(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Fat12 => 1..=4084,
            Self::Fat16 => 4085..=65_524,
            Self::Fat32 => 65_525..=0x0fff_fff5,
        }
    }
}

impl Geometry {
    /// The layout for `size` bytes in sectors of `sector` bytes. Without a wish for a kind it is FAT32 from 34 MiB on and
    /// FAT16 from 4 MiB on.
    pub fn new(sector: u64, size: u64, kind: Option<Kind>) -> Result<Self> {
        let kind = kind.unwrap_or(match size {
            0..0x40_0000 => Kind::Fat12,
            0x40_0000..0x220_0000 => Kind::Fat16,
            _ => Kind::Fat32,
        });
        // large clusters keep the table short, but FAT32 must not have too few; FAT16 not too many
        let sizes: &[u32] = match kind {
            Kind::Fat32 if size < 16_384 * MIB => &[8, 4, 2, 1],
            Kind::Fat32 => &[64, 32, 16, 8],
            _ => &[1, 2, 4, 8, 16, 32, 64],
        };
        sizes
            .iter()
            // the list is for sectors of 512 bytes
            .map(|per_cluster| (u64::from(*per_cluster) * SECTOR / sector).max(1) as u32)
            .find_map(|per_cluster| Self::with_clusters_of(per_cluster, sector, size / sector, kind))
            .ok_or_else(|| {
                Error::unsuitable(format!(
                    "{kind:?} cannot have a size of {}",
                    crate::size::Bytes(size)
                ))
            })
    }

    fn with_clusters_of(per_cluster: u32, sector: u64, sectors: u64, kind: Kind) -> Option<Self> {
        let (reserved, root) = match kind {
            Kind::Fat32 => (32, 0),
            _ => (1, ROOT_ENTRIES * 32 / sector),
        };
        let mut per_fat = 1;
        loop {
            let rest = sectors.checked_sub(reserved + root + 2 * per_fat)?;
            let clusters = rest / u64::from(per_cluster);
            let needed = ((clusters + 2) * kind.bits()).div_ceil(8 * sector);
            if needed > per_fat {
                per_fat = needed;
                continue;
            }
            return kind.clusters().contains(&clusters).then_some(Self {
                kind,
                sector,
                sectors: u32::try_from(sectors).ok()?,
                per_cluster,
                reserved: reserved as u32,
                per_fat: per_fat as u32,
                root: root as u32,
                clusters: clusters as u32,
            });
        }
    }

    pub fn cluster_size(&self) -> u64 {
        u64::from(self.per_cluster) * self.sector
    }

    /// Where the fixed root directory lies, in bytes; on FAT32, where the clusters begin.
    pub fn root_at(&self) -> u64 {
        u64::from(self.reserved + 2 * self.per_fat) * self.sector
    }

    /// Where cluster `number` (2 is the first) lies, in bytes.
    pub fn cluster_at(&self, number: u32) -> u64 {
        self.root_at() + u64::from(self.root) * self.sector + u64::from(number - 2) * self.cluster_size()
    }

    /// Where each copy of the table lies, in bytes.
    pub fn fats_at(&self) -> [u64; 2] {
        [self.reserved, self.reserved + self.per_fat].map(|sector| u64::from(sector) * self.sector)
    }

    /// The table, for chains of consecutive clusters: each `(first, count)`.
    pub fn fat(&self, chains: &[(u32, u32)]) -> Vec<u8> {
        let end = 0x0fff_ffff;
        let mut entries = vec![0; self.clusters as usize + 2];
        entries[0] = 0x0fff_fff8;
        entries[1] = end;
        for (first, count) in chains {
            for number in *first..first + count {
                let last = number + 1 == first + count;
                entries[number as usize] = if last { end } else { number + 1 };
            }
        }
        let mut bytes = Vec::with_capacity(self.per_fat as usize * self.sector as usize);
        match self.kind {
            Kind::Fat32 => bytes.extend(entries.iter().flat_map(|e| e.to_le_bytes())),
            Kind::Fat16 => bytes.extend(entries.iter().flat_map(|e| (*e as u16).to_le_bytes())),
            Kind::Fat12 => {
                for pair in entries.chunks(2) {
                    let (a, b) = (pair[0] & 0xfff, pair.get(1).unwrap_or(&0) & 0xfff);
                    bytes.extend([a as u8, (a >> 8 | b << 4) as u8, (b >> 4) as u8]);
                }
            }
        }
        bytes.resize((self.per_fat as u64 * self.sector) as usize, 0);
        bytes
    }

    /// The boot sector. On FAT32 the root directory's first cluster is `root_cluster`.
    pub fn boot_sector(&self, identity: &Identity, root_cluster: u32) -> Vec<u8> {
        let fat32 = self.kind == Kind::Fat32;
        let mut bytes = Vec::with_capacity(SECTOR as usize);
        bytes.extend([0xeb, if fat32 { 0x58 } else { 0x3c }, 0x90]); // jump behind the parameters
        bytes.extend(b"mkfs.fat"); // some firmware looks whether a known name stands here
        bytes.extend((self.sector as u16).to_le_bytes());
        bytes.push(self.per_cluster as u8);
        bytes.extend((self.reserved as u16).to_le_bytes());
        bytes.push(2);
        bytes.extend((if fat32 { 0 } else { ROOT_ENTRIES as u16 }).to_le_bytes());
        let small = (!fat32).then(|| u16::try_from(self.sectors).ok()).flatten();
        bytes.extend(small.unwrap_or(0).to_le_bytes());
        bytes.push(0xf8); // a disk that stays in its machine
        bytes.extend((if fat32 { 0 } else { self.per_fat as u16 }).to_le_bytes());
        bytes.extend(identity.chs.1.to_le_bytes());
        bytes.extend(identity.chs.0.to_le_bytes());
        bytes.extend(identity.hidden.to_le_bytes());
        bytes.extend((if small.is_some() { 0 } else { self.sectors }).to_le_bytes());
        if fat32 {
            bytes.extend(self.per_fat.to_le_bytes());
            bytes.extend([0; 4]); // flags, version
            bytes.extend(root_cluster.to_le_bytes());
            bytes.extend(1u16.to_le_bytes()); // FSInfo
            bytes.extend(6u16.to_le_bytes()); // copy of this sector
            bytes.extend([0; 12]);
        }
        bytes.extend([0x80, 0, 0x29]); // drive number; what follows is there
        bytes.extend(identity.volume_id.to_le_bytes());
        bytes.extend(identity.label);
        bytes.extend(match self.kind {
            Kind::Fat12 => b"FAT12   ",
            Kind::Fat16 => b"FAT16   ",
            Kind::Fat32 => b"FAT32   ",
        });
        bytes.extend([0xf4, 0xeb, 0xfd]); // halt for ever: nothing boots from here by BIOS
        bytes.resize(510, 0);
        bytes.extend([0x55, 0xaa]);
        bytes
    }

    /// FAT32's FSInfo sector: how many clusters are free and where to look first.
    pub fn fs_info(&self, used: u32) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        bytes[..4].copy_from_slice(b"RRaA");
        bytes[484..488].copy_from_slice(b"rrAa");
        bytes[488..492].copy_from_slice(&(self.clusters - used).to_le_bytes());
        bytes[492..496].copy_from_slice(&(used + 2).to_le_bytes());
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_clusters_fits_the_kind() {
        for (mib, kind) in [
            (1, Kind::Fat12),
            (4, Kind::Fat16),
            (33, Kind::Fat16),
            (34, Kind::Fat32),
            (64, Kind::Fat32),
            (512, Kind::Fat32),
            (40_000, Kind::Fat32),
        ] {
            let geometry = Geometry::new(SECTOR, mib * MIB, None).unwrap();
            assert_eq!(geometry.kind, kind, "{mib} MiB");
            let end = geometry.cluster_at(geometry.clusters + 2);
            assert!(end <= mib * MIB, "{geometry:?}");
        }
        assert!(Geometry::new(SECTOR, MIB, Some(Kind::Fat32)).is_err());
        assert!(Geometry::new(SECTOR, 0, None).is_err());
    }
}
