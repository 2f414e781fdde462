//! Write a file of kernel parameters for sysctl.d(5).
//!
//! The file lies in `/usr/lib/sysctl.d`, which the tree must have; what was in it is replaced. A key with `-` before it
//! and no value keeps wildcards of other lines from it.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.sysctld`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// The parameters.
    #[schemars(length(min = 1))]
    config: Vec<Parameter>,
}

/// A parameter that is set, or one that is left out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Parameter {
    Set(Set),
    Excluded(Excluded),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its name; a `-` before it: failing to set it is no error.
    key: String,
    /// Its value.
    value: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Excluded {
    /// `-` and its name.
    #[schemars(regex(pattern = "^-.+$"))]
    key: String,
}

module::stage! { file: "sysctld.rs", name: "org.osbuild.sysctld", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let text: String = args.options.config.iter().map(line).collect();
    let path = format!("usr/lib/sysctl.d/{}", args.options.filename);
    Ok(args.tree.write(path, text)?)
}

fn line(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Set(Set { key, value }) if !value.is_empty() => format!("{key} = {value}\n"),
        Parameter::Set(Set { key, .. }) | Parameter::Excluded(Excluded { key }) => format!("{key}\n"),
    }
}
