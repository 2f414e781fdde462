//! A whole disk from trees: partitions, what is in them, boot blocks.
//!
//! ```text
//! 0        the partition table; GRUB's boot code, where it is asked for
//! 512      DOS: GRUB's core.img, up to the first partition
//! 1 MiB    partitions, each at a whole MiB unless its start is given
//! end      GPT: copy of the partition table
//! ```
//!
//! A directory of a tree that is another file system's is empty in the file system around it.

use std::fs::File;
use std::path::{Path, PathBuf};

use tree::Tree;
use uuid::Uuid;

use crate::disk::Extent;
use crate::file_system::{FileSystem, Measured};
use crate::gpt::{self, SECTOR};
use crate::partition_table::{Entry, Label, Laid, Place};
use crate::size::MIB;
use crate::view::View;
use crate::{BootBlocks, Error, Result, SparseFile};

/// What is asked of a disk. Its sectors have 512 bytes.
#[derive(Debug)]
pub struct Spec<'a> {
    /// Bytes of the whole disk; `None`: what its partitions take.
    pub size: Option<u64>,
    pub label: Label,
    pub partitions: Vec<Partition<'a>>,
    pub boot: Option<Boot>,
    /// The time that stands for now, in seconds.
    pub epoch: Option<i64>,
}

/// A partition; its size, if nobody gives one, is what its content comfortably has, or with a size of the disk, for the
/// last such partition, what is left.
#[derive(Debug)]
pub struct Partition<'a> {
    pub entry: Entry,
    pub content: Option<Content<'a>>,
}

/// What a partition is filled with.
#[derive(Debug)]
pub struct Content<'a> {
    pub file_system: FileSystem,
    /// The tree, and its directory that becomes the file system's root. One that is not there is an empty one.
    pub from: Option<(&'a Tree, PathBuf)>,
}

/// A boot loader in blocks.
#[derive(Debug)]
pub enum Boot {
    /// GRUB on a PC with a BIOS: in the BIOS boot partition of a GPT, behind the sector of a DOS table.
    Bios(BootBlocks),
    /// GRUB's core image for Open Firmware, in the PReP partition.
    Prep(Vec<u8>),
}

/// Types of PReP partitions.
const PREP_GUID: Uuid = Uuid::from_u128(0x9e1a2d38_c612_4316_aa26_8b49521e5a8b);
const PREP_DOS: &str = "41";

/// Composes the disk in the empty `file`. The process must have one thread, where a file system leaves something out (see
/// `View`).
///
/// # Errors
/// A partition that cannot be as it is asked for, named by its number; [`Error::TooSmall`] for a disk with a size that does
/// not hold them.
pub fn compose(file: File, spec: &Spec<'_>) -> Result<SparseFile> {
    let empty = Empty::new(spec.epoch)?;
    spec.check()?;
    let measured = spec.each(|part, content| {
        let view = part.view(spec, content, &empty)?;
        content.file_system.measure(view.tree(), spec.epoch)
    })?;
    let (laid, size) = spec.lay_out(&measured)?;
    let disk = SparseFile::new(file, size)?;
    for (index, place) in laid.partitions.iter().enumerate() {
        println!(
            "{}: start={}, size={}, type={}",
            place.number,
            place.sectors.start,
            place.sectors.end - place.sectors.start,
            place.kind
        );
        let partition = &spec.partitions[index];
        if let (Some(content), Some(measured)) = (&partition.content, &measured[index]) {
            let write = || {
                let view = partition.view(spec, content, &empty)?;
                let extent = extent(place);
                content
                    .file_system
                    .write(&disk, extent, view.tree(), measured, spec.epoch)
            };
            write().map_err(|error| error.about(&partition.shown(index)))?;
        }
    }
    laid.write(&disk, 0)?;
    if let Some(boot) = &spec.boot {
        boot.write(&disk, &laid, spec.label)?;
    }
    Ok(disk)
}

fn extent(place: &Place) -> Extent {
    Extent {
        start: place.sectors.start * SECTOR,
        size: (place.sectors.end - place.sectors.start) * SECTOR,
    }
}

impl Spec<'_> {
    /// Refuses what would only show when much is written.
    fn check(&self) -> Result<()> {
        let mut seen: Vec<(&Path, &Path)> = Vec::new();
        self.each(|_, content| content.file_system.check())?;
        for (index, part) in self.partitions.iter().enumerate() {
            let Some((tree, below)) = part.content.as_ref().and_then(|content| content.from.as_ref()) else {
                continue;
            };
            let from = (tree.path(), below.as_path());
            if seen.contains(&from) {
                let message = format!("/{} is in another partition already", below.display());
                return Err(Error::unsuitable(message).about(&part.shown(index)));
            }
            seen.push(from);
        }
        Ok(())
    }

    /// What `of` says of each partition with content.
    fn each<T>(&self, of: impl Fn(&Partition<'_>, &Content<'_>) -> Result<T>) -> Result<Vec<Option<T>>> {
        let one = |(index, part): (usize, &Partition<'_>)| match &part.content {
            Some(content) => of(part, content)
                .map(Some)
                .map_err(|error| error.about(&part.shown(index))),
            None => Ok(None),
        };
        self.partitions.iter().enumerate().map(one).collect()
    }

    /// The table, and the size of the disk.
    fn lay_out(&self, measured: &[Option<Measured>]) -> Result<(Laid, u64)> {
        let mut entries: Vec<Entry> = self.partitions.iter().map(|part| part.entry.clone()).collect();
        let last_open = entries.iter().rposition(|entry| entry.size.is_none());
        for (index, entry) in entries.iter_mut().enumerate() {
            if entry.size.is_some() || (self.size.is_some() && last_open == Some(index)) {
                continue;
            }
            let Some(measured) = &measured[index] else {
                return Err(Error::unsuitable("it needs a `size`: nothing is in it to go by")
                    .about(&self.partitions[index].shown(index)));
            };
            entry.size = Some(measured.comfortable.div_ceil(SECTOR));
        }
        let behind = self.label.behind(SECTOR) * SECTOR;
        if let Some(size) = self.size {
            if !size.is_multiple_of(SECTOR) {
                return Err(Error::unsuitable(format!(
                    "the size {size} is not a multiple of {SECTOR}"
                )));
            }
            return Ok((self.label.lay_out(&entries, size, SECTOR)?, size));
        }
        // on a disk with room for anything the partitions come to lie as they will
        const ROOMY: u64 = 1 << 60;
        let roomy = self.label.lay_out(&entries, ROOMY, SECTOR)?;
        let end = roomy.partitions.iter().map(|place| place.sectors.end).max();
        let size = (end.unwrap_or(0) * SECTOR + behind).next_multiple_of(MIB);
        // smaller disks have partitions elsewhere
        let size = size.max(5 * MIB);
        Ok((self.label.lay_out(&entries, size, SECTOR)?, size))
    }
}

impl Partition<'_> {
    fn shown(&self, index: usize) -> String {
        let number = self.entry.number.unwrap_or(index + 1);
        match self.entry.name.as_str() {
            "" => format!("partition {number}"),
            name => format!("partition {number} ({name})"),
        }
    }

    /// What of its tree is this file system's.
    fn view(&self, spec: &Spec<'_>, content: &Content<'_>, empty: &Empty) -> Result<View> {
        let Some((tree, below)) = &content.from else {
            return empty.view();
        };
        if !tree.is_dir(below) {
            return empty.view();
        }
        let others = spec
            .partitions
            .iter()
            .filter_map(|other| other.content.as_ref()?.from.as_ref());
        let hidden = others.filter(|(other, path)| other.path() == tree.path() && path != below);
        let hidden: Vec<PathBuf> = hidden
            .filter_map(|(_, path)| Some(path.strip_prefix(below).ok()?.to_owned()))
            .collect();
        View::new(tree, below, &hidden, spec.epoch.unwrap_or(0))
    }
}

/// An empty directory.
struct Empty {
    dir: tempfile::TempDir,
}

impl Empty {
    fn new(epoch: Option<i64>) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(Error::io("make an empty directory"))?;
        let tree = Tree::open(dir.path())?;
        tree.chmod("", 0o755)?;
        tree.set_mtime("", epoch.unwrap_or(0), 0)?;
        Ok(Self { dir })
    }

    fn view(&self) -> Result<View> {
        View::new(&Tree::open(self.dir.path())?, Path::new(""), &[], 0)
    }
}

impl Boot {
    /// Writes it on a disk whose table is there already.
    fn write(&self, disk: &SparseFile, laid: &Laid, label: Label) -> Result<()> {
        let of_type = |kind: &str| {
            laid.partitions
                .iter()
                .find(|place| place.kind.eq_ignore_ascii_case(kind))
        };
        match self {
            Self::Bios(blocks) => {
                let (start, room) = match (label, of_type(&gpt::TYPE_BIOS_BOOT.to_string())) {
                    (Label::Gpt { .. }, Some(place)) => {
                        (place.sectors.start, place.sectors.end - place.sectors.start)
                    }
                    (Label::Gpt { .. }, None) => {
                        return Err(Error::unsuitable(
                            "there is no BIOS boot partition for GRUB's core.img: add one of 1 MiB and of the type \
                             21686148-6449-6E6F-744E-656564454649",
                        ));
                    }
                    (Label::Dos { .. }, _) => {
                        let first = laid.partitions.iter().map(|place| place.sectors.start).min();
                        (1, first.unwrap_or(disk.size() / SECTOR) - 1)
                    }
                };
                blocks.write(disk, start, room)
            }
            Self::Prep(core) => {
                let kind = match label {
                    Label::Gpt { .. } => PREP_GUID.to_string(),
                    Label::Dos { .. } => PREP_DOS.into(),
                };
                let Some(place) = of_type(&kind) else {
                    return Err(Error::unsuitable(
                        "there is no PReP partition for GRUB's core image",
                    ));
                };
                let extent = extent(place);
                if core.len() as u64 > extent.size {
                    return Err(Error::TooSmall {
                        what: "the PReP partition",
                        given: extent.size,
                        needed: core.len() as u64,
                    });
                }
                disk.write(core, extent.start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_as_large_as_its_partitions_want() {
        let laid = |label, size: u64| {
            let entry = Entry {
                size: Some(size / SECTOR),
                ..Entry::default()
            };
            let spec = Spec {
                size: None,
                label,
                partitions: vec![Partition { entry, content: None }],
                boot: None,
                epoch: None,
            };
            spec.lay_out(&[None]).map(|(_, size)| size)
        };
        let gpt = Label::Gpt { guid: Uuid::nil() };
        let dos = Label::Dos { signature: 1 };
        for size in [4 * MIB, 1 << 40, 100 << 40] {
            assert_eq!(laid(gpt, size).unwrap(), size + 2 * MIB);
        }
        assert_eq!(laid(dos, 3 << 39).unwrap(), (3 << 39) + MIB);
        for (label, size) in [(gpt, 1 << 62), (gpt, u64::MAX), (dos, 2 << 40)] {
            let error = laid(label, size).unwrap_err().to_string();
            assert!(error.contains("lies outside the disk"), "{error}");
        }
    }
}
