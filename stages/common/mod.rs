//! What options of several stages are made of.

mod keyed;
mod whole;

pub use keyed::{Keyed, keys};
pub use whole::Whole;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("keyed.rs"),
    include_str!("whole.rs")
);
