//! Write a drop-in configuration file of GRUB.
//!
//! `console.cfg` beside the configuration that bootupd keeps, for example: the `serial` command and which terminals GRUB
//! reads from and writes to. A file that is there is replaced.

use std::path::Path;

use module::{Args, Location, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.grub2.d`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where the file is: a location in the tree or on a mount.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^mount://[^/]+/"},
        {"type": "string", "pattern": "^tree:///"},
    ]))]
    path: String,
    /// What it says.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
#[derive(Default)]
struct Config {
    /// The terminals to read from.
    terminal_input: Vec<String>,
    /// The terminals to write to.
    terminal_output: Vec<String>,
    /// GRUB's command for the serial line, such as `serial --speed=115200`.
    serial: String,
}

module::stage! {
    file: "grub2_d.rs", name: "org.osbuild.grub2.d", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
}

fn run(args: Args<Options>) -> Result<()> {
    let location = Location::parse(&args.options.path)?;
    let root = location.root(&args)?;
    if let Some(parent) = Path::new(location.path()).parent() {
        root.mkdir_all(parent)?;
    }
    Ok(root.write(location.path(), args.options.config.text())?)
}

impl Config {
    fn text(&self) -> String {
        let mut text = String::new();
        if !self.serial.is_empty() {
            text += &format!("{}\n", self.serial);
        }
        for (name, list) in [
            ("terminal_input", &self.terminal_input),
            ("terminal_output", &self.terminal_output),
        ] {
            if !list.is_empty() {
                text += &format!("{name} {}\n", list.join(" "));
            }
        }
        text
    }
}
