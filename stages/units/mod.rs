//! Writing systemd's units, and enabling them in a tree as `systemctl --root` does it.
//!
//! A unit is enabled by links that its `[Install]` section asks for: in `/etc/systemd/system`, to the unit file. See
//! systemd.unit(5), "[Install] Section Options". What is done here was compared with systemctl of systemd 252, whose
//! help is not needed.

mod disable;
mod enable;
mod file;
mod link;
mod name;
mod options;
mod section;
mod write;

pub use disable::disable;
pub use enable::{enable, mask, set_default};
pub use name::Name;
pub use options::{Install, LONGEST_NAME, Unit, UnitPath, Variable, check_name};
pub use write::text;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("disable.rs"),
    include_str!("enable.rs"),
    include_str!("file.rs"),
    include_str!("link.rs"),
    include_str!("name.rs"),
    include_str!("options.rs"),
    include_str!("section.rs"),
    include_str!("write.rs"),
);

/// Where the administrator's links lie.
pub const CONFIG: &str = "etc/systemd/system";
