//! Configure DNF.
//!
//! Writes variables to `/etc/dnf/vars`, which must be in the tree, and sets options in `/etc/dnf/dnf.conf`; all else in
//! that file stays. Where there is no file, one is made.

use module::{Args, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, IniFile, plain};

const FILE: &str = "etc/dnf/dnf.conf";

/// Options of `org.osbuild.dnf.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Variables for the addresses of repositories.
    #[serde(default)]
    variables: Vec<Variable>,
    /// Section → settings.
    #[serde(default)]
    config: InOrder<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variable {
    /// Its name, used as `$NAME`.
    #[schemars(regex(pattern = "^[a-z0-9_]+$"))]
    name: String,
    /// Its value.
    value: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    /// The section `main`.
    main: Option<Main>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Main {
    /// Which addresses names are resolved to.
    ip_resolve: Option<IpResolve>,
    /// What RPM leaves out in transactions.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    tsflags: Option<Vec<Flag>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum IpResolve {
    #[serde(rename = "4")]
    Four,
    IPv4,
    #[serde(rename = "6")]
    Six,
    IPv6,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Flag {
    NoScripts,
    Test,
    NoTriggers,
    NoDocs,
    JustDb,
    NoContexts,
    NoCaps,
    NoCrypto,
}

module::stage! {
    file: "dnf_config.rs", name: "org.osbuild.dnf.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    for variable in &options.variables {
        tree.write(
            format!("etc/dnf/vars/{}", variable.name),
            format!("{}\n", variable.value),
        )?;
    }
    if options.config.is_empty() {
        return Ok(());
    }
    configure(tree, &options.config)
}

fn configure(tree: &Tree, config: &InOrder<Config>) -> Result<()> {
    let mut file = IniFile::read(tree, FILE)?.unwrap_or_default();
    for (section, settings) in config.iter() {
        for (key, value) in settings.as_object().into_iter().flatten() {
            file.set(section, key, &plain(value, ("False", "True"), ", "));
        }
    }
    common::write_below(tree, FILE, &file.text())?;
    Ok(tree.chmod(FILE, 0o644)?)
}
