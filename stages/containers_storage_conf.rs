//! Configure the storage of containers.
//!
//! Merges `config` into the section `storage` of containers-storage.conf(5): what is in the file and not in the options
//! stays. Comments do not; `comment` stands on top instead. The directory must be in the tree.

use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use crate::common::{self, InOrder, toml_text};

const HEAD: &str = "\
# This file is the configuration file for all tools that
# use the containers/storage library.
# See 'man 5 containers-storage.conf' for more information.
# This file was created by osbuild.
# \n\n";

/// Options of `org.osbuild.containers.storage.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file to write.
    #[serde(default)]
    filename: Filename,
    /// A file of the build root to start from; without it, the file that is there, if it is.
    filebase: Option<String>,
    /// Lines of comment on top.
    #[serde(default)]
    comment: Vec<String>,
    /// What to set.
    config: InOrder<Config>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
enum Filename {
    #[default]
    #[serde(rename = "/etc/containers/storage.conf")]
    Etc,
    #[serde(rename = "/usr/share/containers/storage.conf")]
    Usr,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Config {
    /// The section `storage`.
    storage: Option<Storage>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Storage {
    /// How layers are kept.
    driver: Option<Driver>,
    /// Where images and containers lie.
    graphroot: Option<String>,
    /// Where what does not outlive a boot lies.
    runroot: Option<String>,
    /// Whether containers are gone after a boot.
    transient_store: Option<bool>,
    /// Further options.
    options: Option<StorageOptions>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Driver {
    Overlay,
    Vfs,
    Devmapper,
    Aufs,
    Btrfs,
    Zfs,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct StorageOptions {
    /// Read-only stores that are searched as well.
    additionalimagestores: Option<Vec<String>>,
    /// How images are pulled.
    pull_options: Option<PullOptions>,
    /// Options of the driver `overlay`.
    overlay: Option<Overlay>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct PullOptions {
    /// Pull only the chunks that are missing.
    enable_partial_images: Option<Flag>,
    /// Share files between images.
    use_hard_links: Option<Flag>,
    /// Convert images so that they can be pulled in chunks.
    convert_images: Option<Flag>,
}

/// The library takes texts here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Flag {
    True,
    False,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Overlay {
    /// Mount options.
    mountopt: Option<String>,
}

module::stage! {
    file: "containers_storage_conf.rs", name: "org.osbuild.containers.storage.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let path = options.filename.path();
    let mut document = match &options.filebase {
        Some(base) => parse(&std::fs::read_to_string(base).with_context(|| format!("filebase: {base}"))?)
            .with_context(|| format!("filebase: {base}"))?,
        None => Table::new(),
    };
    if let Some(old) = existing(tree, path)?.remove("storage") {
        merge(&mut document, "storage", old);
    }
    if let Some(new) = options.config.get("storage") {
        merge(&mut document, "storage", Value::try_from(new)?);
    }
    let comment: String = options.comment.iter().map(|line| format!("# {line}\n")).collect();
    let text = format!("{HEAD}{comment}\n{}", toml_text(&document));
    Ok(tree.write(path, text)?)
}

impl Filename {
    fn path(self) -> &'static str {
        match self {
            Self::Etc => "etc/containers/storage.conf",
            Self::Usr => "usr/share/containers/storage.conf",
        }
    }
}

fn existing(tree: &Tree, path: &str) -> Result<Table> {
    if tree.stat_followed(path)?.is_none() {
        return Ok(Table::new());
    }
    parse(&tree.read_text(path)?).with_context(|| Path::new("/").join(path).display().to_string())
}

fn parse(text: &str) -> Result<Table> {
    Ok(text.parse()?)
}

/// Sets `name`; where both are tables, member by member.
fn merge(into: &mut Table, name: &str, value: Value) {
    match (into.get_mut(name), value) {
        (Some(Value::Table(old)), Value::Table(new)) => {
            for (name, value) in new {
                merge(old, &name, value);
            }
        }
        (_, value) => {
            into.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_base_comes_first_then_the_file_then_the_options() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/containers").unwrap();
        let base =
            "other = 1\n[storage]\ndriver = \"vfs\"\nrunroot = \"/base\"\n[storage.options.overlay]\na = 1\n";
        tree.write("base", base).unwrap();
        tree.write(
            "etc/containers/storage.conf",
            "lost = 1\n[storage]\nrunroot = \"/file\"\n",
        )
        .unwrap();
        let options = json!({
            "filebase": dir.path().join("base"),
            "config": {"storage": {"options": {"overlay": {"mountopt": "nodev"}}}},
        });
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        let text = tree.read_text("etc/containers/storage.conf").unwrap();
        let (_, document) = text.split_once("\n\n\n").unwrap();
        assert_eq!(
            document,
            "other = 1\n\n[storage]\ndriver = \"vfs\"\nrunroot = \"/file\"\n\n[storage.options.overlay]\na = 1\n\
             mountopt = \"nodev\"\n"
        );
    }
}
