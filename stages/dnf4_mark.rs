//! Say why packages are installed, for dnf 4.
//!
//! Runs dnf-3 of the build root on the tree: packages marked `install` stay when nothing needs them, packages marked
//! `group` belong to a group.

use module::{Args, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.dnf4.mark`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The packages.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Package>>", length(min = 1))]
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Package {
    /// Its name.
    name: String,
    /// Its mark.
    #[schemars(extend("enum" = ["install", "group"]))]
    mark: String,
}

module::stage! {
    file: "dnf4_mark.rs", name: "org.osbuild.dnf4.mark", options: Options, run: run,
    needs: [Anything],
}

fn run(args: Args<Options>) -> Result<()> {
    for mark in ["install", "group"] {
        let marked = args
            .options
            .packages
            .iter()
            .filter(|package| package.mark == mark);
        let names: Vec<&str> = marked.map(|package| package.name.as_str()).collect();
        if !names.is_empty() {
            Tool::new("dnf-3")
                .arg("--installroot")
                .arg(args.tree.path())
                .args(["mark", "-y", mark])
                .args(names)
                .run()?;
        }
    }
    Ok(())
}
