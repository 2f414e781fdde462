//! Configure apt: where packages come from, whose signatures count, which versions are preferred.
//!
//! Ours: the Python osbuild has no such stage. Sources are written as deb822, `/etc/apt/sources.list.d/NAME.sources`, keys to
//! `/etc/apt/keyrings`, pins to `/etc/apt/preferences.d` and settings to `/etc/apt/apt.conf.d`. Sources of one name share a
//! file. With `replace` the sources that the tree had are removed first. See sources.list(5), apt_preferences(5) and
//! apt.conf(5).

mod settings;
mod source;

use std::collections::BTreeMap;

use module::{Args, Context, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Keyed, keys};
use settings::Settings;
use source::Source;

const SOURCES: &str = "etc/apt/sources.list.d";

/// Options of `org.osbuild.apt.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether the sources that the tree had are removed.
    #[serde(default)]
    replace: bool,
    /// The sources.
    #[serde(default)]
    sources: Vec<Source>,
    /// Armored keys, by the names of their files in `/etc/apt/keyrings`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>", transform = keys(r"^[A-Za-z0-9_.-]{1,250}\.asc$"))]
    keyrings: Keyed<String>,
    /// Pins, by the names of their files in `/etc/apt/preferences.d`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Vec<Pin>>>", transform = keys(r"^[A-Za-z0-9_-]{1,250}$"))]
    preferences: Keyed<Vec<Pin>>,
    /// Settings, by the names of their files in `/etc/apt/apt.conf.d`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Settings>>", transform = keys(r"^[A-Za-z0-9_-]{1,250}$"))]
    config: Keyed<Settings>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pin {
    /// Packages, or patterns of their names; `*` for all.
    #[schemars(length(min = 1))]
    packages: Vec<String>,
    /// Which versions: `release n=trixie-backports`, `version 5.10*`, `origin "example.org"`.
    #[schemars(regex(pattern = "^(release|version|origin) .+$"))]
    pin: String,
    /// Their priority; from 1000 on even a downgrade is made, below 0 they are never installed.
    #[schemars(range(min = -32768, max = 32767))]
    priority: i32,
    /// Why, for people.
    explanation: Option<String>,
}

module::stage! {
    file: "apt_config.rs", name: "org.osbuild.apt.config", options: Options, run: run,
    libraries: [common::SOURCE, include_str!("apt_config/settings.rs"), include_str!("apt_config/source.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    // all is checked before anything is written
    let sources = source_files(&options.sources)?;
    if options.replace {
        remove_sources(tree)?;
    }
    for (name, key) in options.keyrings.iter() {
        ensure!(
            key.trim_start()
                .starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"),
            "options: keyrings: {name} is not an armored public key: make it with `gpg --armor --export`"
        );
        common::write_below(
            tree,
            &format!("etc/apt/keyrings/{name}"),
            &format!("{}\n", key.trim()),
        )?;
    }
    for (name, text) in sources {
        common::write_below(tree, &format!("{SOURCES}/{name}.sources"), &text)?;
    }
    for (name, pins) in options.preferences.iter() {
        let pins = pins.iter().map(stanza).collect::<Result<Vec<_>>>();
        let pins = pins.with_context(|| format!("options: preferences: {name}"))?;
        common::write_below(tree, &format!("etc/apt/preferences.d/{name}"), &pins.join("\n"))?;
    }
    for (name, settings) in options.config.iter() {
        let text = settings
            .text()
            .with_context(|| format!("options: config: {name}"))?;
        common::write_below(tree, &format!("etc/apt/apt.conf.d/{name}"), &text)?;
    }
    Ok(())
}

/// The text of each file, sources of one name one after another.
fn source_files(sources: &[Source]) -> Result<BTreeMap<&str, String>> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for (at, source) in sources.iter().enumerate() {
        let stanza = source
            .stanza()
            .with_context(|| format!("options: sources[{at}] ({})", source.name))?;
        let text = files.entry(&source.name).or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&stanza);
    }
    Ok(files)
}

fn remove_sources(tree: &Tree) -> Result<()> {
    tree.remove_all("etc/apt/sources.list")?;
    if tree.is_dir(SOURCES) {
        for name in tree.list(SOURCES)? {
            tree.remove_all(format!("{SOURCES}/{}", name.to_string_lossy()))?;
        }
    }
    Ok(())
}

fn stanza(pin: &Pin) -> Result<String> {
    let mut text = String::new();
    if let Some(why) = &pin.explanation {
        text.push_str(&source::field("Explanation", why)?);
    }
    text.push_str(&source::field("Package", &pin.packages.join(" "))?);
    text.push_str(&source::field("Pin", &pin.pin)?);
    text.push_str(&source::field("Pin-Priority", &pin.priority.to_string())?);
    Ok(text)
}

#[cfg(test)]
mod tests;
