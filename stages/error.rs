//! Fail.
//!
//! Ends with the exit code it is asked for: a stage to see what becomes of a build when one fails.

use module::{Args, Exit, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.error`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The exit code; only its lowest eight bits reach the caller.
    #[serde(default = "default_code")]
    #[schemars(with = "f64")]
    returncode: serde_json::Number,
}

module::stage! { file: "error.rs", name: "org.osbuild.error", options: Options, run: run }

fn default_code() -> serde_json::Number {
    255.into()
}

fn run(args: Args<Options>) -> Result<()> {
    let number = &args.options.returncode;
    let code = number
        .as_i64()
        .unwrap_or_else(|| number.as_f64().unwrap_or(255.0) as i64);
    println!("Error stage will now return error: {code}");
    Err(Exit((code & 0xff) as u8).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(options: serde_json::Value) -> u8 {
        let tree = tempfile::tempdir().unwrap();
        let error = (MODULE.run)(serde_json::json!({"tree": tree.path(), "options": options})).unwrap_err();
        error.downcast_ref::<Exit>().unwrap().0
    }

    #[test]
    fn the_code_is_the_one_asked_for() {
        assert_eq!(code(serde_json::json!({})), 255);
        assert_eq!(code(serde_json::json!({"returncode": 3})), 3);
        assert_eq!(code(serde_json::json!({"returncode": 0})), 0);
    }
}
