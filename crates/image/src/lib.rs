//! Disk images without loop devices, mounts or root.
//!
//! * [`gpt`], [`dos`]: partition tables as bytes, [`partitions`]: read again; [`grub_bios`]: the boot blocks of GRUB on a BIOS machine.
//! * [`fat`], [`ext4`], [`other_fs`]: file systems filled from a tree.
//! * [`verity`]: hash trees of dm-verity; [`lvm2`]: physical volumes and what is on them.
//! * [`disk`]: where partitions lie, and a whole disk from a tree.
//! * [`qcow2`], [`vmdk`], [`vhd`], [`vhdx`], [`vdi`]: a finished disk in the formats of hypervisors.
//!
//! Layouts are pure functions; writing them out is a short loop. Nothing here reads the clock, draws random numbers or
//! depends on the number of threads: the same input gives the same bytes.

mod blocks;
mod compress;
mod crc32c;
pub mod disk;
pub mod dos;
mod error;
pub mod ext4;
mod ext4_format;
mod ext4_groups;
mod ext4_times;
pub mod fat;
mod fat_dir;
mod fat_layout;
#[cfg(test)]
mod formats_tests;
pub mod gpt;
pub mod grub_bios;
pub mod lvm2;
mod mask;
pub mod other_fs;
mod output;
pub mod partitions;
pub mod qcow2;
mod qcow2_tables;
mod record;
pub mod size;
mod sparse;
#[cfg(test)]
mod testing;
mod tool;
pub mod vdi;
pub mod verity;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

pub use error::{Error, Result};
pub use mask::mask;
pub use sparse::SparseFile;

/// The digest of this crate's sources, for `libraries` of the modules that use it.
pub const SOURCE_DIGEST: &str = env!("SOURCE_DIGEST");
