//! Set what makes a good password.
//!
//! Edits `/etc/security/pwquality.conf`, which the tree must have: the first line of each key is given the new value,
//! comments stay. See pwquality.conf(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, KeyLines};

const FILE: &str = "etc/security/pwquality.conf";
const LINES: KeyLines = KeyLines {
    separator: " = ",
    ignore_case: false,
    block: None,
};

/// Options of `org.osbuild.pwquality.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The settings.
    config: InOrder<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // the members are written in the manifest's order
struct Config {
    /// The least length.
    minlen: Option<i64>,
    /// Credit for digits; negative: how many there must be.
    dcredit: Option<i64>,
    /// Credit for upper-case letters, likewise.
    ucredit: Option<i64>,
    /// Credit for lower-case letters, likewise.
    lcredit: Option<i64>,
    /// Credit for other characters, likewise.
    ocredit: Option<i64>,
    /// How many classes of characters there must be.
    minclass: Option<i64>,
}

module::stage! {
    file: "pwquality_conf.rs", name: "org.osbuild.pwquality.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let settings: Vec<(&str, String)> = args
        .options
        .config
        .iter()
        .map(|(key, value)| (key, value.to_string()))
        .collect();
    let text = args.tree.read_text(FILE)?;
    Ok(args.tree.write(FILE, LINES.set(&text, &settings))?)
}
