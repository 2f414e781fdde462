//! Write defaults for `bootc install`.
//!
//! `config` becomes `/usr/lib/bootc/install/FILENAME` as TOML; see bootc-install-config(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Table;

use crate::common::{self, InOrder, toml_text};

const DIR: &str = "usr/lib/bootc/install";

/// Options of `org.osbuild.bootc.install.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file; bootc reads those that end in `.toml`, in the order of their names.
    filename: String,
    /// Its content.
    config: InOrder<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Config {
    /// The section `install`.
    install: Option<Install>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Install {
    /// The file systems to make.
    filesystem: Option<Filesystems>,
    /// Kernel arguments.
    kargs: Option<Vec<String>>,
    /// How the root's block device may be set up, the first being the default.
    block: Option<Vec<Block>>,
    /// What is OSTree's.
    ostree: Option<Ostree>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Filesystems {
    /// The root file system.
    root: Filesystem,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Filesystem {
    /// Its type, such as `xfs`.
    r#type: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Block {
    #[serde(rename = "direct")]
    Direct,
    #[serde(rename = "tmp2-luks")]
    Luks,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Ostree {
    /// Value of OSTree's `sysroot.bls-append-except-default`.
    bls_append_except_default: Option<String>,
}

module::stage! {
    file: "bootc_install_config.rs", name: "org.osbuild.bootc.install.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let mut config = Table::new();
    for (name, value) in options.config.iter() {
        config.insert(name.to_owned(), toml::Value::try_from(value)?);
    }
    tree.mkdir_all(DIR)?;
    Ok(tree.write(format!("{DIR}/{}", options.filename), toml_text(&config))?)
}
