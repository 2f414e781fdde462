//! A file system of any kind that is written here, or a swap area: how large it is to be, and its writing.

use std::fs::File;

use tree::Tree;
use uuid::Uuid;

use crate::disk::Extent;
use crate::size::{GIB, MIB, Usage, usage};
use crate::{Error, Result, SparseFile, ext4, fat, other_fs, read_only, swap};

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
    Fat,
    Erofs,
    Squashfs,
    Swap,
}

/// What is asked of a file system.
#[derive(Debug, Clone)]
pub struct FileSystem {
    pub kind: Kind,
    /// Of a FAT file system the first four bytes are the volume id; squashfs has no identity.
    pub uuid: Uuid,
    pub label: Option<String>,
    /// How a read-only one is compressed, in its tool's words.
    pub compression: Option<String>,
    /// How wide a FAT is.
    pub fat: fat::Width,
}

/// What a tree will take in it.
#[derive(Debug)]
pub struct Measured {
    /// The bytes it cannot do without.
    pub needed: u64,
    /// What it gets when nobody says.
    pub comfortable: u64,
    usage: Usage,
    /// What had to be made to know its size.
    made: Option<SparseFile>,
}

impl FileSystem {
    /// Of this kind, with what that goes without.
    pub fn new(kind: Kind, uuid: Uuid) -> Self {
        Self {
            kind,
            uuid,
            label: None,
            compression: None,
            fat: fat::Width::default(),
        }
    }

    /// Refuses a label that the file system cannot have.
    pub fn check(&self) -> Result<()> {
        let most = match self.kind {
            Kind::Ext4 | Kind::Swap => 16,
            Kind::Xfs => 12,
            Kind::Fat => 11,
            Kind::Btrfs => 255,
            Kind::Erofs | Kind::Squashfs => 0,
        };
        match &self.label {
            Some(label) if label.len() > most => Err(Error::unsuitable(format!(
                "the label `{label}` is too long: this file system has at most {most} bytes for it"
            ))),
            _ => Ok(()),
        }
    }

    /// How large the file system with `tree` is; a read-only one is made for that.
    pub fn measure(&self, tree: &Tree, epoch: Option<i64>) -> Result<Measured> {
        let mut measured = Measured {
            needed: 0,
            comfortable: 0,
            usage: Usage::default(),
            made: None,
        };
        match self.kind {
            Kind::Erofs | Kind::Squashfs => {
                let made = self.make(tree, epoch)?;
                measured.needed = made.size();
                measured.comfortable = made.size().next_multiple_of(MIB);
                measured.made = Some(made);
                return Ok(measured);
            }
            Kind::Swap => {
                measured.needed = swap::SMALLEST;
                measured.comfortable = GIB;
                return Ok(measured);
            }
            Kind::Ext4 | Kind::Xfs | Kind::Btrfs | Kind::Fat => measured.usage = usage(tree, None)?,
        }
        let usage = &measured.usage;
        // the least that mkfs.xfs and mkfs.btrfs take
        let at_least = |smallest: u64| (usage.bytes + usage.bytes / 10).max(smallest);
        measured.needed = match self.kind {
            Kind::Xfs => at_least(300 * MIB),
            Kind::Btrfs => at_least(120 * MIB),
            Kind::Ext4 => ext4::needed(usage),
            _ => usage.bytes,
        };
        measured.comfortable = match self.kind {
            Kind::Ext4 => ext4::comfortable(usage),
            Kind::Fat => fat::comfortable(tree)?,
            _ => (measured.needed + measured.needed / 3 + GIB / 2).next_multiple_of(64 * MIB),
        };
        Ok(measured)
    }

    /// Writes it with `tree`, as it was measured, into a stretch of `disk` that is all hole.
    pub fn write(
        &self,
        disk: &SparseFile,
        extent: Extent,
        tree: &Tree,
        measured: &Measured,
        epoch: Option<i64>,
    ) -> Result<()> {
        let _span = trace::span("write a file system").with("kind", format!("{:?}", self.kind));
        match self.kind {
            Kind::Ext4 => {
                let options = ext4::Options {
                    uuid: self.uuid,
                    label: self.label.clone(),
                    offset: extent.start,
                    size: extent.size,
                    epoch,
                };
                ext4::write(disk, tree, &measured.usage, &options)
            }
            Kind::Fat => {
                let [a, b, c, d, ..] = *self.uuid.as_bytes();
                let options = fat::Options {
                    offset: extent.start,
                    size: extent.size,
                    kind: match self.fat {
                        fat::Width::Suitable => None,
                        fat::Width::OfMkfs => Some(fat::Kind::of_mkfs(extent.size)),
                    },
                    volume_id: u32::from_be_bytes([a, b, c, d]),
                    label: self.label.clone(),
                    epoch: epoch.unwrap_or(0),
                };
                fat::write(disk, tree, &options)
            }
            Kind::Swap => swap::write(disk, extent.start, extent.size, self.uuid, self.label.as_deref()),
            Kind::Xfs | Kind::Btrfs => {
                let whole = SparseFile::new(scratch()?, extent.size)?;
                let kind = match self.kind {
                    Kind::Xfs => other_fs::Kind::Xfs,
                    _ => other_fs::Kind::Btrfs,
                };
                other_fs::write(&whole, tree, kind, self.uuid, self.label.as_deref(), epoch)?;
                disk.write_all_of(&whole.renewed()?, extent.start)
            }
            Kind::Erofs | Kind::Squashfs => match &measured.made {
                Some(made) if made.size() <= extent.size => disk.write_all_of(made, extent.start),
                Some(made) => Err(Error::TooSmall {
                    what: "the file system",
                    given: extent.size,
                    needed: made.size(),
                }),
                None => disk.write_all_of(&self.make(tree, epoch)?, extent.start),
            },
        }
    }

    fn make(&self, tree: &Tree, epoch: Option<i64>) -> Result<SparseFile> {
        let compression = self.compression.as_deref();
        match self.kind {
            Kind::Squashfs => {
                let words: Vec<&str> = compression.into_iter().flat_map(|name| ["-comp", name]).collect();
                read_only::squashfs(scratch()?, tree, &words, epoch)
            }
            _ => read_only::erofs(scratch()?, tree, self.uuid, compression, epoch),
        }
    }
}

/// The kinds whose tools know no offset are made apart first; the box's own /var/tmp lies on a disk.
fn scratch() -> Result<File> {
    tempfile::tempfile_in("/var/tmp").map_err(Error::io("make a file for a file system"))
}
