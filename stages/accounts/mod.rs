//! The user database of a tree: `passwd`, `shadow`, `group`, `gshadow`, `subuid`, `subgid`.
//!
//! What is done to it, down to the backup files, is what useradd(8), usermod(8), groupadd(8) and passwd(1) of shadow
//! 4.13 do with `--root`; the tools themselves are not needed, nor is the name service of whoever builds.

mod database;
mod defaults;
mod home;
mod subid;
mod table;

pub use database::{Database, Group, User};
pub use defaults::Defaults;
pub use home::{add_keys, change_group, make_home, make_mail_spool};

use module::{Meta, Result, ensure};

use crate::common;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("database.rs"),
    include_str!("defaults.rs"),
    include_str!("home.rs"),
    include_str!("subid.rs"),
    include_str!("table.rs"),
);

/// Today, in days since 1970, as `shadow` counts them: the day of the source epoch, or else of the clock, since a
/// password that expires must have been set on some day.
pub fn today(meta: &Meta) -> i64 {
    common::now(meta) / 86400
}

/// Refuses a value that would break the line it is written to.
pub fn check_field(user: &str, option: &str, value: &str) -> Result<()> {
    ensure!(
        !value.contains([':', '\n']),
        "user `{user}`: `{option}` must not contain a colon or a line break"
    );
    Ok(())
}
