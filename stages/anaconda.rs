//! Choose the modules that the Anaconda installer starts.
//!
//! Writes `/etc/anaconda/conf.d/90-osbuild.conf`: in its section `[Anaconda]` one list for each option, in the
//! manifest's order.

use module::{Args, Context, Result, anyhow};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder};

const DIR: &str = "etc/anaconda/conf.d";
const HEAD: &str = "\n# osbuild customizations\n\n[Anaconda]\n";

/// Options of `org.osbuild.anaconda`: lists of the D-Bus names of modules, in which `*` may stand at the end. Other
/// options are written likewise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
struct Modules {
    /// Modules to start, by the option's old name.
    #[schemars(length(min = 1))]
    kickstart_modules: Option<Vec<String>>,
    /// Modules that may be started.
    #[schemars(length(min = 1))]
    activatable_modules: Option<Vec<String>>,
    /// Modules that must not be started.
    #[schemars(length(min = 1))]
    forbidden_modules: Option<Vec<String>>,
    /// Modules whose failure is no failure of the installer.
    #[schemars(length(min = 1))]
    optional_modules: Option<Vec<String>>,
}

module::stage! {
    file: "anaconda.rs", name: "org.osbuild.anaconda", options: InOrder<Modules>, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<InOrder<Modules>>) -> Result<()> {
    let mut text = HEAD.to_owned();
    for (option, modules) in args.options.iter() {
        text.push_str(&list(option, modules).with_context(|| format!("options: {option}"))?);
    }
    args.tree.mkdir_all(DIR)?;
    Ok(args.tree.write(format!("{DIR}/90-osbuild.conf"), text)?)
}

/// One option, each of its modules on an indented line.
fn list(option: &str, modules: &Value) -> Result<String> {
    let mut text = format!("{}=\n", option.replace('-', "_"));
    for module in modules.as_array().context("this is not a list")? {
        let module = module.as_str().ok_or_else(|| anyhow!("{module} is not a name"))?;
        text.push_str(&format!("    {module}\n"));
    }
    Ok(text)
}
