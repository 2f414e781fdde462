//! The tree of a pipeline.
//!
//! The only reference is the pipeline; without one the tree is empty.

use sandbox::{Layers, Mount};
use serde_json::{Value, json};

use super::{InputModule, Making, Ready, layers_of};
use crate::Result;

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.tree",
    text: include_str!("tree.rs"),
    schema,
    make,
};

fn schema() -> Value {
    json!({
        "additionalProperties": false,
        "required": ["type", "origin", "references"],
        "properties": {
            "type": {"enum": [INPUT.name]},
            "origin": {"type": "string", "enum": ["org.osbuild.pipeline"]},
            "references": {
                "oneOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": {"type": "object"}},
                    {"type": "array", "minItems": 1, "items": {
                        "type": "object", "additionalProperties": false, "required": ["id"],
                        "properties": {"id": {"type": "string"}, "options": {"type": "object"}},
                    }},
                ],
            },
            "options": {"type": "object", "additionalProperties": true},
        },
    })
}

fn make(making: &Making<'_>) -> Result<Ready> {
    let layers = match &making.input.pipelines[..] {
        [] => Layers::default(),
        [index] => layers_of(making.tree(*index)),
        more => return Err(making.wrong(format!("it takes one tree, not {}", more.len()))),
    };
    let tree = Mount::Tree {
        layers,
        target: making.target.clone(),
    };
    Ok(Ready {
        mounts: vec![making.root(), tree],
        argument: json!({"path": making.target, "data": {}}),
    })
}
