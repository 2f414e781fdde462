//! Set environment variables for login shells.
//!
//! One file in `/etc/profile.d`, which the tree must have, for each name; what was in it is replaced. Values stand
//! between double quotes as they are: `$NAME` and `\"` in them mean what they mean to the shell.

use std::collections::BTreeMap;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Keyed, keys};

/// Options of `org.osbuild.shell.init`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The files, by their names.
    #[serde(default)]
    #[schemars(
        with = "Option<BTreeMap<String, File>>",
        transform = keys(r"^[a-zA-Z0-9\.\-_]{1,250}$")
    )]
    files: Keyed<File>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// The variables.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Variable>>", length(min = 1))]
    env: Vec<Variable>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variable {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Z_][A-Z0-9_]*$"))]
    key: String,
    /// Its value.
    value: String,
}

module::stage! {
    file: "shell_init.rs", name: "org.osbuild.shell.init", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    for (name, file) in args.options.files.iter() {
        let line = |variable: &Variable| format!("export {}=\"{}\"\n", variable.key, variable.value);
        let text: String = file.env.iter().map(line).collect();
        args.tree.write(format!("etc/profile.d/{name}"), text)?;
    }
    Ok(())
}
