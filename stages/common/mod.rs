//! What options of several stages are made of, and the configuration files that several stages write.

mod bls;
mod clock;
mod create;
mod descriptors;
mod distribution;
mod env_value;
mod in_order;
mod ini;
mod ini_file;
mod key_lines;
mod keyed;
mod toml_text;
mod whole;

pub use bls::{append_kernel_arguments, boot_entries};
pub use clock::{civil, now};
pub use create::{create_new, write_below};
pub use descriptors::link_descriptors;
pub use distribution::is_debian;
pub use env_value::{env_value, is_plain_name};
pub use in_order::{InOrder, plain};
pub use ini::Ini;
pub use ini_file::IniFile;
pub use key_lines::KeyLines;
pub use keyed::{Keyed, keys};
pub use toml_text::toml_text;
pub use whole::Whole;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("bls.rs"),
    include_str!("clock.rs"),
    include_str!("create.rs"),
    include_str!("descriptors.rs"),
    include_str!("distribution.rs"),
    include_str!("env_value.rs"),
    include_str!("in_order.rs"),
    include_str!("ini.rs"),
    include_str!("ini_file.rs"),
    include_str!("key_lines.rs"),
    include_str!("keyed.rs"),
    include_str!("toml_text.rs"),
    include_str!("whole.rs")
);
