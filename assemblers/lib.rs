//! The assemblers, one file each. `cargo xtask gen` keeps the list.

// <modules>
mod disk;
mod noop;
mod oci_archive;
mod ostree_commit;
mod qcow2;
mod qemu;
mod raw;
mod rawfs;
mod tar;
// </modules>

mod disk_image;

/// Every assembler, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &disk::MODULE,
    &noop::MODULE,
    &oci_archive::MODULE,
    &ostree_commit::MODULE,
    &qcow2::MODULE,
    &qemu::MODULE,
    &raw::MODULE,
    &rawfs::MODULE,
    &tar::MODULE,
    // </list>
];
