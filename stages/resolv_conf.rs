//! Write `/etc/resolv.conf`.
//!
//! The file or link that is there is replaced by a file; see resolv.conf(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

const FILE: &str = "etc/resolv.conf";

/// Options of `org.osbuild.resolv-conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Addresses of name servers, asked in this order.
    #[serde(default)]
    nameserver: Vec<String>,
    /// Domains in which short names are looked up.
    #[serde(default)]
    search: Vec<String>,
}

module::stage! {
    file: "resolv_conf.rs", name: "org.osbuild.resolv-conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Options { nameserver, search } = &args.options;
    args.tree.remove_all(FILE)?;
    let mut text = "# This file was created by osbuild\n".to_owned();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    for address in nameserver {
        text.push_str(&format!("nameserver {address}\n"));
    }
    common::write_below(&args.tree, FILE, &text)
}
