//! Disk images without loop devices, mounts or root.
//!
//! * [`gpt`], [`dos`]: partition tables as bytes, [`partition_table`]: laid out, [`partitions`]: read again; [`grub_bios`]: the
//!   boot blocks of GRUB on a BIOS machine.
//! * [`fat`], [`ext4`], [`other_fs`], [`read_only`]: file systems filled from a tree; [`file_system`]: any of them; [`swap`].
//! * [`verity`]: hash trees of dm-verity; [`lvm2`]: physical volumes and what is on them.
//! * [`compose`]: a whole disk from trees; [`disk`]: the one that boots by BIOS and by UEFI.
//! * [`qcow2`], [`vmdk`], [`vhd`], [`vhdx`], [`vdi`]: a finished disk in the formats of hypervisors; [`format`]: any of them.
//!
//! Layouts are pure functions; writing them out is a short loop. Nothing here reads the clock, draws random numbers or
//! depends on the number of threads: the same input gives the same bytes.

mod blocks;
mod boot_blocks;
pub mod compose;
mod compress;
mod crc32c;
mod deflate;
pub mod disk;
pub mod dos;
mod error;
pub mod ext4;
pub mod fat;
mod fat_dir;
mod fat_layout;
pub mod file_system;
pub mod format;
#[cfg(test)]
mod formats_tests;
pub mod gpt;
pub mod grub_bios;
pub mod grub_core;
pub mod lvm2;
pub mod other_fs;
mod output;
pub mod partition_table;
pub mod partitions;
pub mod plain;
pub mod qcow2;
mod qcow2_tables;
pub mod read_only;
mod record;
pub mod size;
mod space;
mod sparse;
pub mod swap;
#[cfg(test)]
mod testing;
mod tool;
pub mod vdi;
pub mod verity;
pub mod vhd;
pub mod vhdx;
mod view;
pub mod vmdk;

pub use boot_blocks::BootBlocks;
pub use error::{Error, Result};
pub use sparse::SparseFile;

/// The digest of this crate's sources, for `libraries` of the modules that use it.
pub const SOURCE_DIGEST: &str = env!("SOURCE_DIGEST");
