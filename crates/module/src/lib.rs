//! What a stage, an assembler or a source is written with.
//!
//! A module is one file: its documentation on top, an options struct, a `run` function and the [`stage!`] or
//! [`assembler!`] line that names it. From the struct come the JSON Schema and the table of options; from the
//! documentation the manual page.

mod args;
mod chroot;
mod describe;
mod location;
mod loop_devices;
mod main_loop;
mod needs;
mod schema;
mod tool;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use args::{Args, Graft, Input, InputFile, Meta, Node};
pub use chroot::Chroot;
pub use describe::{Kind, Module, describe};
pub use location::Location;
pub use loop_devices::{LoopDevices, LoopOptions};
pub use main_loop::{Exit, run, run_main};
pub use needs::Need;
pub use schema::options_schema;
pub use tool::Tool;
pub use tree::Tree;

/// The digest of the sources every module is built on (this crate and `tree`): part of each module's own digest.
pub const SOURCE_DIGEST: &str = env!("SOURCE_DIGEST");
