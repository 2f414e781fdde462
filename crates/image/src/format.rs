//! A finished disk in any format.

use std::fs::File;
use std::path::Path;

use uuid::Uuid;

use crate::{Error, Result, SparseFile, qcow2, vdi, vhd, vhdx, vmdk};

/// The format, and what it can be told.
#[derive(Debug, Clone)]
pub enum Format {
    Qcow2(qcow2::Options),
    Vdi,
    Vmdk {
        subformat: vmdk::Subformat,
        adapter: vmdk::Adapter,
        compat6: bool,
    },
    Vhd {
        kind: vhd::Kind,
        rounding: vhd::Rounding,
    },
    Vhdx,
}

/// What the same disk has each time it is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity {
    pub uuid: Uuid,
    /// Seconds since 1970.
    pub time: Option<i64>,
}

/// Writes `disk` as the file `name`, and in some formats as files beside it; `create` makes them.
///
/// # Errors
/// What the format's own writer says; a disk of 0 bytes, which most formats cannot tell from a damaged one.
pub fn write(
    disk: &SparseFile,
    name: &Path,
    format: &Format,
    identity: Identity,
    create: &mut dyn FnMut(&Path) -> Result<File>,
) -> Result<()> {
    let _span = trace::span("write the disk's format").with("file", name.to_string_lossy());
    if disk.size() == 0 {
        return Err(Error::unsuitable(
            "a disk of 0 bytes cannot be converted: give the raw image a size",
        ));
    }
    let uuid = identity.uuid;
    match format {
        Format::Qcow2(options) => qcow2::write(disk, &create(name)?, options),
        Format::Vdi => vdi::write(disk, &create(name)?, uuid, 0),
        Format::Vhdx => vhdx::write(disk, &create(name)?, uuid, 0),
        Format::Vhd { kind, rounding } => {
            let time = identity.time.and_then(|time| u64::try_from(time).ok());
            let options = vhd::Options {
                kind: *kind,
                rounding: *rounding,
                uuid,
                time: time.unwrap_or_default(),
                threads: 0,
            };
            vhd::write(disk, &create(name)?, &options)
        }
        Format::Vmdk {
            subformat,
            adapter,
            compat6,
        } => {
            let options = vmdk::Options {
                subformat: *subformat,
                adapter: *adapter,
                compat6: *compat6,
                content_id: uuid.as_fields().0 & 0x7fff_ffff,
                threads: 0,
            };
            let file = name.file_name().unwrap_or_default().to_string_lossy();
            let mut beside = |other: &str| create(&name.with_file_name(other));
            vmdk::write(disk, &file, &options, &mut beside)
        }
    }
}
