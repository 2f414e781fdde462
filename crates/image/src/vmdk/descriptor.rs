//! The descriptor: the disk in words.

use super::{Adapter, Options, SECTOR};

/// A file that holds a part of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) sectors: u64,
    pub(super) access: Access,
    pub(super) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Sparse,
    Flat,
}

pub(super) fn text(size: u64, extents: &[Extent], options: &Options) -> String {
    let lines: String = extents.iter().map(line).collect();
    let heads = if options.adapter == Adapter::Ide { 16 } else { 255 };
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID=ffffffff\ncreateType=\"{}\"\n\n\
         # Extent description\n{lines}\n\
         # The Disk Data Base\n#DDB\n\n\
         ddb.virtualHWVersion = \"{}\"\n\
         ddb.geometry.cylinders = \"{}\"\nddb.geometry.heads = \"{heads}\"\nddb.geometry.sectors = \"63\"\n\
         ddb.adapterType = \"{}\"\n",
        options.content_id,
        options.subformat.name(),
        if options.compat6 { 6 } else { 4 },
        size / (63 * heads * SECTOR),
        options.adapter.name(),
    )
}

fn line(extent: &Extent) -> String {
    match extent.access {
        Access::Sparse => format!("RW {} SPARSE \"{}\"\n", extent.sectors, extent.name),
        // a flat file says where in it the part begins
        Access::Flat => format!("RW {} FLAT \"{}\" 0\n", extent.sectors, extent.name),
    }
}
