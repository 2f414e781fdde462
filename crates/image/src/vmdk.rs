//! VMware's disk format, in its five shapes.
//!
//! ```text
//! monolithicSparse      one file: header, descriptor, tables, grains
//! streamOptimized       one file: header, descriptor, compressed grains, each table behind its grains, footer
//! monolithicFlat        a descriptor, and NAME-flat.vmdk: the disk as it is
//! twoGbMaxExtentSparse  a descriptor, and NAME-s001.vmdk …: sparse files of 2 GiB of the disk each
//! twoGbMaxExtentFlat    a descriptor, and NAME-f001.vmdk …
//! ```
//! After VMware's "Virtual Disk Format 5.0" (2011). All numbers are little-endian and places are counted in sectors.

mod descriptor;
mod sparse;
mod stream;

use std::fs::File;
use std::ops::Range;

use descriptor::{Access, Extent};

use crate::blocks::Blocks;
use crate::output::{copy, put};
use crate::{Error, Result, SparseFile};

const SECTOR: u64 = 512;
/// Bytes of a grain, and how many of them a table has.
const GRAIN: u64 = 64 << 10;
const IN_TABLE: u64 = 512;
const EXTENT: u64 = 2 << 30;
/// Sectors kept for the descriptor within a file.
const DESCRIPTOR_SECTORS: u64 = 20;

/// How the disk is laid out in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subformat {
    #[default]
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
}

impl Subformat {
    /// The name that the descriptor has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Self::StreamOptimized => "streamOptimized",
        }
    }
}

/// The controller that the virtual machine has the disk on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adapter {
    #[default]
    Ide,
    LsiLogic,
    BusLogic,
    LegacyEsx,
}

impl Adapter {
    fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::LsiLogic => "lsilogic",
            Self::BusLogic => "buslogic",
            Self::LegacyEsx => "legacyESX",
        }
    }
}

/// How the files are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub subformat: Subformat,
    pub adapter: Adapter,
    /// For virtual hardware version 6 instead of 4.
    pub compat6: bool,
    /// The number by which a disk recognises that its parent is unchanged; any but all ones.
    pub content_id: u32,
    /// 0: as many as there are cores.
    pub threads: usize,
}

/// Writes `disk` as the file `name` and, where the subformat has more than one, files beside it. `create` makes an empty
/// file of a name.
///
/// # Errors
/// Reading, writing or `create`.
pub fn write(
    disk: &SparseFile,
    name: &str,
    options: &Options,
    create: &mut dyn FnMut(&str) -> Result<File>,
) -> Result<()> {
    let whole = 0..disk.size();
    let main = create(name)?;
    let text = |extents: &[Extent]| descriptor::text(disk.size(), extents, options);
    let own = |access| {
        text(&[Extent {
            sectors: disk.size().div_ceil(SECTOR),
            access,
            name: name.to_owned(),
        }])
    };
    let sparse_text = || own(Access::Sparse);
    match options.subformat {
        Subformat::MonolithicSparse => {
            sparse::write(&blocks(disk, whole, options), &main, Some(&sparse_text()))
        }
        Subformat::StreamOptimized => stream::write(&blocks(disk, whole, options), &main, &sparse_text()),
        _ => {
            let extents = parts(disk.size(), name, options.subformat);
            for (extent, part) in &extents {
                let file = create(&extent.name)?;
                match extent.access {
                    Access::Sparse => sparse::write(&blocks(disk, part.clone(), options), &file, None)?,
                    Access::Flat => {
                        file.set_len(extent.sectors * SECTOR)
                            .map_err(Error::io("write the vmdk file"))?;
                        copy(disk, part.clone(), &file)?;
                    }
                }
            }
            let extents: Vec<Extent> = extents.into_iter().map(|(extent, _)| extent).collect();
            put(&main, text(&extents).as_bytes(), 0)
        }
    }
}

fn blocks<'a>(disk: &'a SparseFile, part: Range<u64>, options: &Options) -> Blocks<'a> {
    Blocks {
        disk,
        part,
        size: GRAIN,
        threads: options.threads,
    }
}

/// The files beside the descriptor and what of the disk is in them.
fn parts(size: u64, name: &str, subformat: Subformat) -> Vec<(Extent, Range<u64>)> {
    let stem = name.strip_suffix(".vmdk").unwrap_or(name);
    let (access, length, mark) = match subformat {
        Subformat::TwoGbMaxExtentSparse => (Access::Sparse, EXTENT, "s"),
        Subformat::TwoGbMaxExtentFlat => (Access::Flat, EXTENT, "f"),
        _ => (Access::Flat, size.max(1), "flat"),
    };
    let one = |index: u64| {
        let part = index * length..((index + 1) * length).min(size);
        let name = match mark {
            "flat" => format!("{stem}-flat.vmdk"),
            mark => format!("{stem}-{mark}{:03}.vmdk", index + 1),
        };
        let sectors = (part.end - part.start).div_ceil(SECTOR);
        (
            Extent {
                sectors,
                access,
                name,
            },
            part,
        )
    };
    (0..size.div_ceil(length)).map(one).collect()
}
