//! Disk images without loop devices, mounts or root.
//!
//! * [`gpt`], [`dos`]: partition tables as bytes; [`grub_bios`]: the boot blocks of GRUB on a BIOS machine.
//! * [`fat`], [`ext4`], [`other_fs`]: file systems filled from a tree.
//! * [`disk`]: where partitions lie, and a whole disk from a tree.
//! * [`qcow2`]: a finished disk in QEMU's format.
//!
//! Layouts are pure functions; writing them out is a short loop. Nothing here reads the clock, draws random numbers or
//! depends on the number of threads: the same input gives the same bytes.

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
pub mod gpt;
pub mod grub_bios;
mod mask;
pub mod other_fs;
pub mod qcow2;
mod qcow2_tables;
pub mod size;
mod sparse;
mod tool;

pub use error::{Error, Result};
pub use mask::mask;
pub use sparse::SparseFile;

/// The digest of this crate's sources, for `libraries` of the modules that use it.
pub const SOURCE_DIGEST: &str = env!("SOURCE_DIGEST");
