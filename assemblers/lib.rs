//! The assemblers, one file each. `cargo xtask gen` keeps the list.

// <modules>
mod noop;
mod ostree_commit;
mod qcow2;
mod raw;
mod rawfs;
mod tar;
// </modules>

mod disk_image;

/// Every assembler, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &noop::MODULE,
    &ostree_commit::MODULE,
    &qcow2::MODULE,
    &raw::MODULE,
    &rawfs::MODULE,
    &tar::MODULE,
    // </list>
];
