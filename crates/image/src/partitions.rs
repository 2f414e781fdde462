//! Reading a partition table: which stretches of a disk are its partitions.

use crate::{Error, Result, SparseFile};

/// The links of a chain of logical partitions; more are a chain that bites its tail.
const MOST_LOGICAL: usize = 128;
/// More entries than this no table has.
const MOST_ENTRIES: u32 = 1024;
/// The types of DOS partitions that hold others.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;

/// A partition as its table has it, in bytes from the beginning of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// From 1; logical partitions of a DOS table from 5.
    pub number: u64,
    pub start: u64,
    pub size: u64,
}

/// The partitions of the disk that begins at `offset` of `image` and has `size` bytes: of its GPT, else of its DOS table.
/// None for a disk without a table.
///
/// # Errors
/// The table says what cannot be: a partition outside the disk, a chain without end.
pub fn read(image: &SparseFile, offset: u64, size: u64, sector: u64) -> Result<Vec<Partition>> {
    let disk = Disk {
        image,
        offset,
        size,
        sector,
    };
    let found = match disk.gpt()? {
        Some(found) => found,
        None => disk.dos()?,
    };
    let outside = |p: &&Partition| p.start.checked_add(p.size).is_none_or(|end| end > size);
    match found.iter().find(outside) {
        None => Ok(found),
        Some(wrong) => Err(Error::unsuitable(format!(
            "partition {} does not lie within the disk",
            wrong.number
        ))),
    }
}

struct Disk<'a> {
    image: &'a SparseFile,
    offset: u64,
    size: u64,
    sector: u64,
}

impl Disk<'_> {
    fn bytes<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if at.checked_add(N as u64).is_some_and(|end| end <= self.size) {
            self.image.read(&mut bytes, self.offset + at)?;
        }
        Ok(bytes)
    }

    fn gpt(&self) -> Result<Option<Vec<Partition>>> {
        let header: [u8; 92] = self.bytes(self.sector)?;
        if &header[..8] != b"EFI PART" {
            return Ok(None);
        }
        let (at, count, each) = (u64_at(&header, 72), u32_at(&header, 80), u32_at(&header, 84));
        if count > MOST_ENTRIES || each < 128 {
            return Err(Error::unsuitable("the GPT has a header that cannot be"));
        }
        let mut found = Vec::new();
        for index in 0..u64::from(count) {
            let place = at
                .saturating_mul(self.sector)
                .saturating_add(index * u64::from(each));
            let entry: [u8; 48] = self.bytes(place)?;
            if entry[..16] == [0; 16] {
                continue;
            }
            let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
            found.push(Partition {
                number: index + 1,
                start: first.saturating_mul(self.sector),
                size: (last.saturating_add(1))
                    .saturating_sub(first)
                    .saturating_mul(self.sector),
            });
        }
        Ok(Some(found))
    }

    fn dos(&self) -> Result<Vec<Partition>> {
        let mut found = Vec::new();
        let mut extended = None;
        for (index, (kind, first, sectors)) in self.entries(0)?.into_iter().enumerate() {
            if kind == 0 || kind == PROTECTIVE || sectors == 0 {
                continue;
            }
            if EXTENDED.contains(&kind) {
                extended = extended.or(Some(first));
            }
            found.push(self.partition(index as u64 + 1, first, sectors));
        }
        if let Some(base) = extended {
            self.logical(base, &mut found)?;
        }
        Ok(found)
    }

    /// Each link has a partition, relative to the link, and the next link, relative to the first.
    fn logical(&self, base: u64, found: &mut Vec<Partition>) -> Result<()> {
        let mut link = base;
        for index in 0..MOST_LOGICAL {
            let [(_, first, sectors), (kind, next, _), ..] = self.entries(link)?;
            if sectors > 0 {
                found.push(self.partition(index as u64 + 5, link + first, sectors));
            }
            if !EXTENDED.contains(&kind) {
                return Ok(());
            }
            link = base + next;
        }
        Err(Error::unsuitable("the chain of logical partitions has no end"))
    }

    fn partition(&self, number: u64, first: u64, sectors: u64) -> Partition {
        Partition {
            number,
            start: first.saturating_mul(self.sector),
            size: sectors.saturating_mul(self.sector),
        }
    }

    /// Type, first sector and number of sectors of the four entries in a sector.
    fn entries(&self, sector: u64) -> Result<[(u8, u64, u64); 4]> {
        let bytes: [u8; 512] = self.bytes(sector.saturating_mul(self.sector))?;
        let signed = bytes[510..] == [0x55, 0xaa];
        Ok([0, 1, 2, 3].map(|index| {
            let entry = &bytes[crate::dos::ENTRIES_AT + index * 16..][..16];
            match signed {
                true => (
                    entry[4],
                    u64::from(u32_at(entry, 8)),
                    u64::from(u32_at(entry, 12)),
                ),
                false => (0, 0, 0),
            }
        }))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn by_sfdisk(script: &str) -> Option<SparseFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let image = SparseFile::new(file.reopen().unwrap(), 64 << 20).unwrap();
        let mut command = Command::new("sfdisk");
        let command = command.arg("-q").arg(file.path());
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn() else {
            println!("skipped: sfdisk is not installed");
            return None;
        };
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        Some(image)
    }

    #[test]
    fn logical_partitions_are_found() {
        let script = "label: dos\nstart=2048, size=2048\nstart=4096, type=5\nsize=4096\nsize=8192\n";
        let Some(image) = by_sfdisk(script) else { return };
        let found = read(&image, 0, 64 << 20, 512).unwrap();
        let numbers: Vec<u64> = found.iter().map(|p| p.number).collect();
        assert_eq!(numbers, [1, 2, 5, 6]);
        assert_eq!((found[0].start, found[0].size), (1 << 20, 1 << 20));
        assert_eq!(found[3].size, 4 << 20);
    }

    #[test]
    fn a_table_that_reaches_out_of_the_disk_is_refused() {
        let Some(image) = by_sfdisk("label: gpt\nstart=2048, size=2048\nstart=4096\n") else {
            return;
        };
        assert_eq!(read(&image, 0, 64 << 20, 512).unwrap().len(), 2);
        assert!(read(&image, 0, 2 << 20, 512).is_err());
        let empty = SparseFile::new(tempfile::tempfile().unwrap(), 100).unwrap();
        assert_eq!(read(&empty, 0, 100, 512).unwrap(), []);
    }
}
