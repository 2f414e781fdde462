//! Change the tree as a template of Lorax says.
//!
//! The template lies below `/usr/share/lorax/templates.d` of the build root. It is rendered with Mako, so the build root
//! needs Python and its package `mako`; the commands that come out are carried out here: `append`, `install`, `mkdir`,
//! `move`, `remove`, `removefrom`, `removekmod`, `removepkg`, `replace`, `runcmd`, `symlink` and `systemctl`. All paths
//! are the tree's and no link leads out of it, except for the sources of `install`, which are the build root's, and for
//! `runcmd`, which runs a program of the build root in the tree's directory. A `-` before a command lets it fail.

mod commands;
mod line;
mod packages;
mod pattern;
mod python;

use std::path::Path;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::units;
use commands::Script;

const TEMPLATES: &str = "/usr/share/lorax/templates.d";

/// Options of `org.osbuild.lorax-script`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The template, below the directory of templates.
    path: String,
    /// The architecture.
    #[serde(default = "basearch")]
    basearch: String,
    /// The directory for libraries.
    #[serde(default = "libdir")]
    libdir: String,
    /// What is installed.
    #[serde(default)]
    product: Product,
    /// Packages that say whose it is.
    #[serde(default)]
    branding: Branding,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Product {
    /// The product's name.
    #[serde(default)]
    name: String,
    /// The product's version.
    #[serde(default)]
    version: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Branding {
    /// The package with the release's files.
    release: Option<String>,
    /// The package with the logos.
    logos: Option<String>,
}

module::stage! {
    file: "lorax_script.rs", name: "org.osbuild.lorax-script", options: Options, run: run,
    needs: [Anything],
    libraries: [
        units::SOURCE, commands::SOURCE, line::SOURCE, packages::SOURCE, pattern::SOURCE, python::SOURCE,
    ],
}

fn basearch() -> String {
    "x86_64".into()
}

fn libdir() -> String {
    "lib64".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let template = Path::new(TEMPLATES).join(&options.path);
    let configuration = template.with_file_name("config_files");
    let text = python::render(
        &template,
        &json!({
            "root": args.tree.path(),
            "basearch": options.basearch,
            "configdir": configuration,
            "libdir": options.libdir,
            "product": {"name": options.product.name, "version": options.product.version},
            "branding": {"release": options.branding.release, "logos": options.branding.logos},
        }),
    )
    .with_context(|| format!("cannot render {}", template.display()))?;
    let mut script = Script::new(&args.tree, Path::new("/"));
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        script
            .run(&line::words(line)?)
            .with_context(|| format!("line {} of {}: {line}", number + 1, options.path))?;
    }
    Ok(())
}
