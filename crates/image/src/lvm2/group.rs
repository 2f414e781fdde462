//! A volume group on one physical volume, with linear logical volumes.

use std::fmt::Write as _;

use uuid::Uuid;

use super::DATA_AT;
use super::text::quoted;
use crate::{Error, Result};

/// Bytes of an extent.
const EXTENT: u64 = 4 << 20;
const SECTOR: u64 = 512;

/// An identity as LVM has them: 32 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id([u8; 32]);

impl Id {
    /// The id that goes with a UUID.
    pub fn of(uuid: &Uuid) -> Self {
        const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut rest = uuid.as_u128();
        // 22 digits of base 62 hold 128 bits; the others stay 0
        let mut id = [b'0'; 32];
        for place in id.iter_mut().take(22) {
            *place = LETTERS[(rest % 62) as usize];
            rest /= 62;
        }
        Self(id)
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.0
    }

    /// In groups, as it is shown.
    fn text(&self) -> String {
        let mut text = String::new();
        for (index, byte) in self.0.iter().enumerate() {
            if [6, 10, 14, 18, 22, 26].contains(&index) {
                text.push('-');
            }
            text.push(char::from(*byte));
        }
        text
    }
}

/// How large a volume is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extents {
    /// Bytes, rounded up to whole extents.
    Bytes(u64),
    Count(u64),
    /// Percent of the group.
    OfGroup(u64),
    /// Percent of what the volumes before leave.
    OfFree(u64),
}

/// A logical volume.
#[derive(Debug, Clone)]
pub struct Volume {
    pub name: String,
    pub id: Id,
    pub size: Extents,
}

/// A volume group.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    pub id: Id,
    /// Of its physical volume.
    pub pv_id: Id,
    /// Bytes of the physical volume.
    pub pv_size: u64,
    pub volumes: Vec<Volume>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    pub host: String,
}

impl Group {
    /// The text of its metadata.
    ///
    /// # Errors
    /// The physical volume has no extent, or too few for a volume; two volumes have one name.
    pub fn text(&self) -> Result<String> {
        let total = self.pv_size.saturating_sub(DATA_AT) / EXTENT;
        if total == 0 {
            return Err(Error::TooSmall {
                what: "a physical volume",
                given: self.pv_size,
                needed: DATA_AT + EXTENT,
            });
        }
        let mut volumes = String::new();
        let mut next = 0;
        for (index, volume) in self.volumes.iter().enumerate() {
            if self.volumes[..index]
                .iter()
                .any(|other| other.name == volume.name)
            {
                return Err(Error::unsuitable(format!(
                    "two logical volumes have the name {}",
                    volume.name
                )));
            }
            let count = volume.count(total, total - next)?;
            println!("{}: extents {next} to {}", volume.name, next + count);
            volumes.push_str(&self.volume(volume, next, count));
            next += count;
        }
        Ok(self.whole(total, &volumes))
    }

    fn whole(&self, total: u64, volumes: &str) -> String {
        let host = quoted(&self.host);
        // one write for the group, one for each volume
        let seqno = self.volumes.len() + 1;
        format!(
            "{name} {{\nid = \"{id}\"\nseqno = {seqno}\nformat = \"lvm2\"\n\
             status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = {extent}\n\
             max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\n\
             physical_volumes {{\n\npv0 {{\nid = \"{pv}\"\ndevice = \"[unknown]\"\n\nstatus = [\"ALLOCATABLE\"]\n\
             flags = []\ndev_size = {size}\npe_start = {start}\npe_count = {total}\n}}\n}}\n\n\
             logical_volumes {{\n{volumes}}}\n\n}}\n\
             contents = \"Text Format Volume Group\"\nversion = 1\n\ndescription = \"\"\n\n\
             creation_host = {host}\ncreation_time = {created}\n\n",
            name = self.name,
            id = self.id.text(),
            extent = EXTENT / SECTOR,
            pv = self.pv_id.text(),
            size = self.pv_size / SECTOR,
            start = DATA_AT / SECTOR,
            created = self.created,
        )
    }

    fn volume(&self, volume: &Volume, first: u64, count: u64) -> String {
        let mut text = String::new();
        let _ = write!(
            text,
            "\n{name} {{\nid = \"{id}\"\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\n\
             creation_time = {created}\ncreation_host = {host}\nsegment_count = 1\n\n\
             segment1 {{\nstart_extent = 0\nextent_count = {count}\n\ntype = \"striped\"\nstripe_count = 1\n\n\
             stripes = [\n\"pv0\", {first}\n]\n}}\n}}\n",
            name = volume.name,
            id = volume.id.text(),
            created = self.created,
            host = quoted(&self.host),
        );
        text
    }
}

impl Volume {
    /// Its extents, of a group of `total` with `free` left.
    fn count(&self, total: u64, free: u64) -> Result<u64> {
        let of = |percent: u64, whole: u64| (u128::from(percent) * u128::from(whole) / 100) as u64;
        let count = match self.size {
            Extents::Bytes(bytes) => bytes.div_ceil(EXTENT),
            Extents::Count(count) => count,
            Extents::OfGroup(percent) => of(percent, total),
            Extents::OfFree(percent) => of(percent, free),
        };
        match count {
            0 => Err(Error::unsuitable(format!(
                "the logical volume {} would have no extents",
                self.name
            ))),
            _ if count > free => Err(Error::unsuitable(format!(
                "the logical volume {} is to have {count} extents of 4 MiB, but only {free} are free",
                self.name
            ))),
            _ => Ok(count),
        }
    }
}
