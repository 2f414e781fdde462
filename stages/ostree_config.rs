//! Configure the deployments of an OSTree repository.
//!
//! What is not given stays as it is.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository.
    repo: String,
    /// What to set.
    #[serde(default)]
    config: Config,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Settings of the system root.
    sysroot: Sysroot,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Sysroot {
    /// The boot loader whose configuration is written.
    #[schemars(extend("enum" = ["none", "auto", "grub2", "syslinux", "uboot", "zipl", "aboot"]))]
    bootloader: Option<String>,
    /// Whether paths of boot entries begin with `/boot`.
    bootprefix: Option<bool>,
    /// Whether `/sysroot` is mounted read-only.
    readonly: Option<bool>,
    /// What is appended to the boot entries of all deployments but the default one.
    #[serde(rename = "bls-append-except-default")]
    bls_append_except_default: Option<String>,
}

module::stage! {
    file: "ostree_config.rs", name: "org.osbuild.ostree.config", options: Options, run: run,
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let repo = sysroot::option("repo", &sysroot::below(args.tree.path(), &args.options.repo));
    let given = &args.options.config.sysroot;
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let settings = [
        (
            "sysroot.bootloader",
            given.bootloader.clone().filter(|v| !v.is_empty()),
        ),
        ("sysroot.bootprefix", flag(given.bootprefix)),
        ("sysroot.readonly", flag(given.readonly)),
        (
            "sysroot.bls-append-except-default",
            given.bls_append_except_default.clone().filter(|v| !v.is_empty()),
        ),
    ];
    for (key, value) in settings {
        if let Some(value) = value {
            sysroot::ostree(&["config", "set", key, &value, &repo]).run()?;
        }
    }
    Ok(())
}
