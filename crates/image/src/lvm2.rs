//! LVM 2 on a physical volume, as `pvcreate` and `vgcreate` lay it out.
//!
//! ```text
//! 0x0200   label "LABELONE", then the header of the physical volume: its id, its size, where data and metadata lie
//! 0x1000   header of the metadata area, 512 bytes: where in the area the text is, its size and checksum
//! 0x1200   the text: the volume group, its physical and its logical volumes; the area is a ring
//! 1 MiB    extents
//! ```
//!
//! The structures are those of LVM's `lib/format_text/layout.h` and `lib/label/label.h`. Checksums are CRC-32 with another
//! beginning and without the final turn.

use crate::record::Record;
use crate::{Error, Result, SparseFile};

mod group;
mod text;

pub use group::{Extents, Group, Id, Volume};
pub use text::{Change, changed};

const SECTOR: u64 = 512;
/// The label is in one of so many sectors.
const LABEL_SECTORS: u64 = 4;
const LABEL_AT: u64 = SECTOR;
const AREA_AT: u64 = 4096;
/// Where the extents begin.
pub const DATA_AT: u64 = 1 << 20;
const AREA_SIZE: u64 = DATA_AT - AREA_AT;
const AREA_HEADER: u64 = 512;
const LABEL_MAGIC: &[u8; 8] = b"LABELONE";
const LABEL_TYPE: &[u8; 8] = b"LVM2 001";
const AREA_MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
const CRC_BEGIN: u32 = 0xf597_a6cf;
/// The longest list of metadata areas that is believed.
const MOST_AREAS: u64 = 16;

/// A part of a file that is a physical volume, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    pub image: &'a SparseFile,
    pub start: u64,
    pub size: u64,
}

impl Device<'_> {
    /// Makes it a physical volume with this id and the text of its volume group. Everything before the extents is written.
    ///
    /// # Errors
    /// The text does not fit the metadata area.
    pub fn create(&self, id: &Id, text: &str) -> Result<()> {
        self.image.clear(self.start, DATA_AT.min(self.size))?;
        self.write(&label(id, self.size), LABEL_AT)?;
        let area = Area {
            start: AREA_AT,
            size: AREA_SIZE,
            text_at: AREA_HEADER,
            text_size: 0,
        };
        area.replace(self, text)
    }

    /// The text of its volume group.
    ///
    /// # Errors
    /// It is no physical volume, or one without metadata; a checksum is wrong.
    pub fn text(&self) -> Result<String> {
        let areas = self.areas()?;
        let area = areas
            .first()
            .ok_or_else(|| Error::unsuitable("the physical volume has no metadata"))?;
        area.text(self)
    }

    /// Puts another text in the place of the one that there is, in every metadata area.
    ///
    /// # Errors
    /// As [`Device::text`] and [`Device::create`].
    pub fn replace(&self, text: &str) -> Result<()> {
        self.areas()?.iter().try_for_each(|area| area.replace(self, text))
    }

    fn areas(&self) -> Result<Vec<Area>> {
        let header = self.pv_header()?;
        // past the id, the size and the list of data areas
        let mut at = self.skip_list(header + 40)?;
        let mut areas = Vec::new();
        for _ in 0..MOST_AREAS {
            let start = self.u64_at(at)?;
            if start == 0 {
                break;
            }
            areas.push(Area::read(self, start)?);
            at += 16;
        }
        Ok(areas)
    }

    /// Where the header of the physical volume lies.
    fn pv_header(&self) -> Result<u64> {
        for sector in 0..LABEL_SECTORS {
            let mut bytes = [0; SECTOR as usize];
            self.read(&mut bytes, sector * SECTOR)?;
            if bytes.starts_with(LABEL_MAGIC) && bytes[24..32] == *LABEL_TYPE {
                if u32_of(&bytes[16..]) != crc(&bytes[20..]) {
                    return Err(Error::unsuitable("the label of the physical volume is damaged"));
                }
                return Ok(sector * SECTOR + u64::from(u32_of(&bytes[20..])));
            }
        }
        Err(Error::unsuitable("the device is no physical volume of LVM 2"))
    }

    /// Behind a list of places that begins at `at`.
    fn skip_list(&self, mut at: u64) -> Result<u64> {
        for _ in 0..MOST_AREAS {
            let start = self.u64_at(at)?;
            at += 16;
            if start == 0 {
                return Ok(at);
            }
        }
        Err(Error::unsuitable(
            "the physical volume's list of data areas has no end",
        ))
    }

    fn u64_at(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(&mut bytes, at)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.within(at, bytes.len())?;
        self.image.read(bytes, self.start + at)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.within(at, bytes.len())?;
        self.image.write(bytes, self.start + at)
    }

    fn within(&self, at: u64, length: usize) -> Result<()> {
        match at.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::unsuitable(
                "the LVM metadata reaches beyond the end of the device",
            )),
        }
    }
}

/// A metadata area, and where its text is: relative to its beginning.
struct Area {
    start: u64,
    size: u64,
    text_at: u64,
    text_size: u64,
}

impl Area {
    fn read(device: &Device<'_>, start: u64) -> Result<Self> {
        let mut header = [0; AREA_HEADER as usize];
        device.read(&mut header, start)?;
        if header[4..20] != *AREA_MAGIC || u32_of(&header) != crc(&header[4..]) {
            return Err(Error::unsuitable("the LVM metadata area is damaged"));
        }
        let area = Self {
            start,
            size: u64_of(&header[32..]),
            text_at: u64_of(&header[40..]),
            text_size: u64_of(&header[48..]),
        };
        let room = area.size.checked_sub(AREA_HEADER);
        let is_inside = area.text_at >= AREA_HEADER && area.text_at < area.size;
        match room {
            Some(room) if is_inside && area.text_size <= room => Ok(area),
            _ => Err(Error::unsuitable("the LVM metadata area has no volume group")),
        }
    }

    fn text(&self, device: &Device<'_>) -> Result<String> {
        let mut bytes = Vec::new();
        for (at, size) in self.stretches(self.text_size) {
            let mut piece = vec![0; size];
            device.read(&mut piece, self.start + at)?;
            bytes.extend(piece);
        }
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        String::from_utf8(bytes).map_err(|_| Error::unsuitable("the LVM metadata is no text"))
    }

    fn replace(&self, device: &Device<'_>, text: &str) -> Result<()> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let room = self.size - AREA_HEADER;
        if bytes.len() as u64 > room {
            return Err(Error::TooSmall {
                what: "the LVM metadata area",
                given: room,
                needed: bytes.len() as u64,
            });
        }
        let mut rest = &bytes[..];
        for (at, size) in self.stretches(bytes.len() as u64) {
            let (piece, more) = rest.split_at(size);
            device.write(piece, self.start + at)?;
            rest = more;
        }
        device.write(&self.header(&bytes), self.start)
    }

    /// The one or two stretches that `size` bytes of text take from `text_at` on: the area is a ring.
    fn stretches(&self, size: u64) -> impl Iterator<Item = (u64, usize)> {
        let first = size.min(self.size - self.text_at);
        let both = [
            (self.text_at, first as usize),
            (AREA_HEADER, (size - first) as usize),
        ];
        both.into_iter().filter(|(_, size)| *size > 0)
    }

    fn header(&self, text: &[u8]) -> Vec<u8> {
        let header = Record::new(AREA_HEADER as usize)
            .bytes(4, AREA_MAGIC)
            .le32(20, 1)
            .le64(24, self.start)
            .le64(32, self.size)
            .le64(40, self.text_at)
            .le64(48, text.len() as u64)
            .le32(56, crc(text));
        let checksum = crc(&header.as_bytes()[4..]);
        header.le32(0, checksum).finish()
    }
}

/// The sector with the label and the header of the physical volume.
fn label(id: &Id, size: u64) -> Vec<u8> {
    let sector = Record::new(SECTOR as usize)
        .bytes(0, LABEL_MAGIC)
        .le64(8, LABEL_AT / SECTOR)
        .le32(20, 32)
        .bytes(24, LABEL_TYPE)
        .bytes(32, id.raw())
        .le64(64, size)
        // data: from there to the end; behind each list an empty place
        .le64(72, DATA_AT)
        .le64(104, AREA_AT)
        .le64(112, AREA_SIZE)
        // the extension: version 2, in use, no area for a boot loader
        .le32(136, 2)
        .le32(140, 1);
    let checksum = crc(&sector.as_bytes()[20..]);
    sector.le32(16, checksum).finish()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new_with_initial(!CRC_BEGIN);
    hash.update(bytes);
    !hash.finalize()
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from(u32_of(bytes)) | u64::from(u32_of(&bytes[4..])) << 32
}

#[cfg(test)]
mod tests;
