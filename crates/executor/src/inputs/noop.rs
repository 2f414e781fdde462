//! No files at all.
//!
//! The references and their options are passed on to the stage as they are, as `data.refs`; the directory is empty.

use serde_json::{Map, Value, json};

use super::{InputModule, Making, Ready};
use crate::Result;

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.noop",
    text: include_str!("noop.rs"),
    schema: || json!({"additionalProperties": true}),
    make,
};

fn make(making: &Making<'_>) -> Result<Ready> {
    let references: Map<String, Value> = making.input.references.iter().cloned().collect();
    Ok(Ready {
        mounts: vec![making.root()],
        argument: json!({"path": making.target, "data": {"refs": references}}),
    })
}
