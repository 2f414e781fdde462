//! Configure yum and its plugins.
//!
//! Sets options of the section `main` in `/etc/yum.conf`, and of plugins in `/etc/yum/pluginconf.d`; files that are not
//! there are made, the rest of others stays.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, IniFile};

const FILE: &str = "etc/yum.conf";
const PLUGINS: &str = "etc/yum/pluginconf.d";

/// Options of `org.osbuild.yum.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Options of yum.
    config: Option<Config>,
    /// Options of its plugins.
    plugins: Option<Plugins>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What caches on the way may keep.
    #[schemars(extend("enum" = ["all", "packages", "lazy:packages", "none"]))]
    http_caching: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plugins {
    /// The plugin langpacks.
    langpacks: Option<Langpacks>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Langpacks {
    /// Locales whose language packages are installed.
    #[schemars(length(min = 1))]
    locales: Option<Vec<String>>,
}

module::stage! {
    file: "yum_config.rs", name: "org.osbuild.yum.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    if let Some(caching) = options
        .config
        .as_ref()
        .and_then(|config| config.http_caching.as_ref())
    {
        let mut file = IniFile::read(tree, FILE)?.unwrap_or_default();
        file.set("main", "http_caching", caching);
        tree.write(FILE, file.text())?;
    }
    let langpacks = options
        .plugins
        .as_ref()
        .and_then(|plugins| plugins.langpacks.as_ref());
    if let Some(locales) = langpacks.and_then(|langpacks| langpacks.locales.as_ref()) {
        let path = format!("{PLUGINS}/langpacks.conf");
        let mut file = IniFile::read(tree, &path)?.unwrap_or_default();
        file.set("main", "langpack_locales", &locales.join(", "));
        common::write_below(tree, &path, &file.text())?;
    }
    Ok(())
}
