//! Configure zipl, the boot loader of IBM Z.
//!
//! Writes `/etc/zipl.conf`: the boot menu in `/boot`, made from the boot loader entries there.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.zipl`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How many seconds the menu waits.
    #[serde(default = "zero")]
    #[schemars(with = "Option<f64>")]
    timeout: serde_json::Number,
}

module::stage! {
    file: "zipl.rs", name: "org.osbuild.zipl", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn zero() -> serde_json::Number {
    0.into()
}

fn run(args: Args<Options>) -> Result<()> {
    let text = format!(
        "[defaultboot]\ndefaultauto\nprompt=1\ntimeout={}\ntarget=/boot\n",
        args.options.timeout
    );
    common::write_below(&args.tree, "etc/zipl.conf", &text)
}
