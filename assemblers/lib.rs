//! The assemblers, one file each. `cargo xtask gen` keeps the list.

// <modules>
mod noop;
// </modules>

/// Every assembler, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &noop::MODULE,
    // </list>
];
