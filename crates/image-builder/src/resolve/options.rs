//! Reading the options of stages.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Failure, Result, did_you_mean, nearest};

/// The options of a stage as `T`; an unknown one is named with the nearest known.
pub fn read<T: DeserializeOwned>(stage: &Value) -> Result<T> {
    let name = stage.get("type").and_then(Value::as_str).unwrap_or_default();
    let options = stage
        .get("options")
        .cloned()
        .unwrap_or_else(|| serde_json::json!({}));
    serde_json::from_value(options).map_err(|error| {
        let message = error.to_string();
        let failure = Failure::input(format!("options of {name}: {message}"));
        let Some(rest) = message.strip_prefix("unknown field ") else {
            return failure;
        };
        let words: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let (unknown, known) = words.split_first().unwrap_or((&"", &[]));
        let hint = did_you_mean(&nearest(unknown, known.iter().copied()));
        Failure::input(format!("unknown option `{unknown}` of {name}"))
            .hint(hint.unwrap_or_else(|| format!("known here: {}", known.join(", "))))
    })
}
