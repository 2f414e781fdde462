//! What stages that work on devices are made of.

mod guid;
mod made;
mod target;

pub use guid::{derived, label, uuid};
pub use made::{Content, epoch};
pub use target::Target;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("guid.rs"),
    include_str!("made.rs"),
    include_str!("target.rs")
);

/// What stages with one device say of it in their schemas.
#[macro_export]
macro_rules! one_device {
    () => {
        serde_json::json!({
            "type": "object", "additionalProperties": true, "required": ["device"],
            "properties": {"device": {"type": "object", "additionalProperties": true}},
        })
    };
}
