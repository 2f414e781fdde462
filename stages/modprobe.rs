//! Say how kernel modules are loaded.
//!
//! Writes `/usr/lib/modprobe.d/FILENAME`, one line for each command; see modprobe.d(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.modprobe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// Its lines.
    commands: Vec<Command>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    /// Do not load the module for a device.
    Blacklist {
        #[schemars(length(min = 1))]
        modulename: String,
    },
    /// Run a command instead of loading the module.
    Install {
        #[schemars(length(min = 1))]
        modulename: String,
        #[schemars(length(min = 1))]
        cmdline: String,
    },
}

module::stage! {
    file: "modprobe.rs", name: "org.osbuild.modprobe", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let text: String = options.commands.iter().map(line).collect();
    common::write_below(
        &args.tree,
        &format!("usr/lib/modprobe.d/{}", options.filename),
        &text,
    )
}

fn line(command: &Command) -> String {
    match command {
        Command::Blacklist { modulename } => format!("blacklist {modulename}\n"),
        Command::Install { modulename, cmdline } => format!("install {modulename} {cmdline}\n"),
    }
}
