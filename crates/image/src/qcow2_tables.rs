//! The tables of a qcow2 file, and the order in which its space is given out. No I/O.
//!
//! After QEMU's `docs/interop/qcow2.txt`. All numbers are big-endian; clusters have 64 KiB, reference counts 16 bits.

use std::collections::BTreeMap;

use crate::qcow2::{Compression, Options};

pub const CLUSTER_BITS: u32 = 16;
pub const CLUSTER: u64 = 1 << CLUSTER_BITS;
const ENTRIES_IN_L2: u64 = CLUSTER / 8;
const COUNTS_IN_BLOCK: u64 = CLUSTER / 2;
/// The only owner of what it points to.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// In an entry of a compressed cluster: sectors above this bit, the offset below.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
pub const SECTOR: u64 = 512;

/// The file in the making: what is where.
#[derive(Debug)]
pub struct Tables {
    /// Bytes of the disk, in whole sectors.
    size: u64,
    /// Uses of each cluster of the file.
    counts: Vec<u16>,
    /// Where the next compressed cluster may begin, and how many bytes are left in that cluster of the file.
    open: (u64, u64),
    /// Second-level tables that have an entry.
    l2: BTreeMap<u64, Vec<u64>>,
}

/// A table with its place.
pub type Placed = (u64, Vec<u8>);

impl Tables {
    /// The tables of a disk of `size` bytes: whole sectors, as readers ignore what is behind the last one. The header and
    /// the first-level table come first in the file.
    pub fn new(size: u64) -> Self {
        let mut tables = Self {
            size,
            counts: Vec::new(),
            open: (0, 0),
            l2: BTreeMap::new(),
        };
        tables.take(1 + tables.l1_clusters());
        tables
    }

    fn l1_entries(&self) -> u64 {
        self.size.div_ceil(CLUSTER * ENTRIES_IN_L2)
    }

    fn l1_clusters(&self) -> u64 {
        (self.l1_entries() * 8).div_ceil(CLUSTER).max(1)
    }

    /// Gives out whole clusters at the end of the file.
    fn take(&mut self, clusters: u64) -> u64 {
        let at = self.counts.len() as u64 * CLUSTER;
        self.counts.resize(self.counts.len() + clusters as usize, 1);
        at
    }

    /// The place of cluster `number` of the disk, stored as it is.
    pub fn put_plain(&mut self, number: u64) -> u64 {
        let at = self.take(1);
        self.set(number, at | COPIED);
        at
    }

    /// The place of cluster `number` of the disk, compressed to `length` bytes (less than a cluster).
    pub fn put_compressed(&mut self, number: u64, length: u64) -> u64 {
        let end = self.counts.len() as u64 * CLUSTER;
        let (mut at, left) = self.open;
        if left < length {
            // what is left may be used only where the file goes on right behind it
            if at + left != end || left == 0 {
                at = end;
            }
            self.counts.push(0);
        }
        let last_sector = (at + length - 1) / SECTOR;
        for cluster in at / CLUSTER..=(last_sector * SECTOR) / CLUSTER {
            self.counts[cluster as usize] += 1;
        }
        let next = at + length;
        self.open = (next, next.next_multiple_of(CLUSTER) - next);
        let more_sectors = last_sector - at / SECTOR;
        self.set(number, COMPRESSED | more_sectors << SECTORS_SHIFT | at);
        at
    }

    fn set(&mut self, number: u64, entry: u64) {
        let table = self.l2.entry(number / ENTRIES_IN_L2);
        table.or_insert_with(|| vec![0; ENTRIES_IN_L2 as usize])[(number % ENTRIES_IN_L2) as usize] = entry;
    }

    /// All tables with their places, the header last, and the length of the file.
    pub fn finish(mut self, options: &Options) -> (Vec<Placed>, u64) {
        let mut placed = Vec::new();
        let mut l1 = vec![0; self.l1_entries() as usize];
        for (index, entries) in std::mem::take(&mut self.l2) {
            let at = self.take(1);
            l1[index as usize] = at | COPIED;
            placed.push((at, big_endian(&entries)));
        }
        placed.push((CLUSTER, big_endian(&l1)));
        // the blocks count themselves and the table that lists them
        let used = self.counts.len() as u64;
        let (mut blocks, mut table) = (1, 1);
        while blocks * COUNTS_IN_BLOCK < used + blocks + table {
            blocks = (used + blocks + table).div_ceil(COUNTS_IN_BLOCK);
            table = (blocks * 8).div_ceil(CLUSTER);
        }
        let table_at = self.take(table);
        let blocks_at = self.take(blocks);
        let list: Vec<_> = (0..blocks).map(|block| blocks_at + block * CLUSTER).collect();
        placed.push((table_at, big_endian(&list)));
        placed.push((
            blocks_at,
            self.counts.iter().flat_map(|count| count.to_be_bytes()).collect(),
        ));
        placed.push((0, self.header(options, table_at, table)));
        (placed, self.counts.len() as u64 * CLUSTER)
    }

    fn header(&self, options: &Options, refcounts_at: u64, refcount_clusters: u64) -> Vec<u8> {
        let version: u32 = if options.version_2 { 2 } else { 3 };
        let mut bytes = Vec::new();
        bytes.extend(b"QFI\xfb");
        bytes.extend(version.to_be_bytes());
        bytes.extend([0; 12]); // no backing file
        bytes.extend(CLUSTER_BITS.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend([0; 4]); // not encrypted
        bytes.extend((self.l1_entries() as u32).to_be_bytes());
        bytes.extend(CLUSTER.to_be_bytes()); // where the first-level table lies
        bytes.extend(refcounts_at.to_be_bytes());
        bytes.extend((refcount_clusters as u32).to_be_bytes());
        bytes.extend([0; 12]); // no snapshots
        if version == 3 {
            let zstd = options.compression == Compression::Zstd;
            let needs: u64 = if zstd { 1 << 3 } else { 0 };
            bytes.extend(needs.to_be_bytes());
            bytes.extend([0; 16]); // features that readers may ignore
            bytes.extend(4u32.to_be_bytes()); // 16-bit reference counts
            bytes.extend(112u32.to_be_bytes()); // length of the header
            bytes.push(u8::from(zstd));
            bytes.extend([0; 7]);
        }
        bytes.extend([0; 8]); // end of extensions
        bytes
    }
}

fn big_endian(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}
