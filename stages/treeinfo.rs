//! Write a `.treeinfo`: what an installation tree consists of.
//!
//! Sections and keys in the order given, then the section `header`. Paths listed in `checksums` are written with the
//! SHA-256 of the tree's files. The file has mode 0600.

use std::io::Read;

use module::{Args, Context, Result, Tree, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::common::{self, InOrder, Ini};

/// Options of `org.osbuild.treeinfo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    path: String,
    /// Its sections.
    treeinfo: InOrder<Treeinfo>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("patternProperties" = {
    "^images-.*$": {"type": "object", "additionalProperties": {"type": "string"}},
    "^variant-.*$": {"type": "object", "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "packages": {"type": "string"},
        "repository": {"type": "string"},
        "type": {"type": "string"},
        "uid": {"type": "string"},
    }},
}))]
#[allow(dead_code)] // all members are written in the manifest's order
struct Treeinfo {
    /// The release.
    release: Option<Release>,
    /// The tree.
    tree: Option<TreeSection>,
    /// For programs that know nothing of the other sections.
    general: Option<General>,
    /// Files whose checksums are written.
    checksums: Option<Vec<String>>,
    /// The installer.
    stage2: Option<Stage2>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Release {
    /// Its name.
    name: Option<String>,
    /// Its short name.
    short: Option<String>,
    /// Its version.
    version: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct TreeSection {
    /// The architecture.
    arch: Option<String>,
    /// When it was made, in seconds since 1970.
    #[schemars(with = "Option<f64>")]
    build_timestamp: Option<Value>,
    /// Platforms that it is for.
    platforms: Option<Vec<String>>,
    /// Its variants.
    variants: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct General {
    /// The architecture.
    arch: Option<String>,
    /// The distribution's name.
    family: Option<String>,
    /// Name and version.
    name: Option<String>,
    /// Directory of the packages.
    packagedir: Option<String>,
    /// Platforms that it is for.
    platforms: Option<Vec<String>>,
    /// Directory of the repository.
    repository: Option<String>,
    /// When it was made, in seconds since 1970.
    #[schemars(with = "Option<f64>")]
    timestamp: Option<Value>,
    /// The variant.
    variant: Option<String>,
    /// The version.
    version: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Stage2 {
    /// Path of the installer's image.
    mainimage: Option<String>,
}

module::stage! {
    file: "treeinfo.rs", name: "org.osbuild.treeinfo", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, path) = (&args.tree, &args.options.path);
    let mut ini = Ini::default();
    for (name, content) in args.options.treeinfo.iter().filter(|(name, _)| *name != "header") {
        match content {
            Value::Object(settings) => add(&mut ini, name, settings),
            Value::Array(paths) if name == "checksums" => add_checksums(&mut ini, tree, paths)?,
            Value::Array(parts) => add_named(&mut ini, name, parts)?,
            _ => bail!("options: treeinfo: {name}: a section is an object or a list of objects"),
        }
    }
    ini.section("header").set("version", "1.0");
    common::write_below(tree, path, &ini.text("="))?;
    Ok(tree.chmod(path, 0o600)?)
}

fn add(ini: &mut Ini, name: &str, settings: &Map<String, Value>) {
    let section = ini.section(name);
    for (key, value) in settings {
        section.set(key, common::plain(value, ("false", "true"), ","));
    }
}

/// Sections `NAME-SUFFIX`, from a list of `{name, config}`.
fn add_named(ini: &mut Ini, name: &str, parts: &[Value]) -> Result<()> {
    for part in parts {
        let Some(settings) = part["config"].as_object() else {
            bail!("options: treeinfo: {name}: a part needs a `config`");
        };
        match part["name"].as_str().filter(|suffix| !suffix.is_empty()) {
            Some(suffix) => add(ini, &format!("{name}-{suffix}"), settings),
            None => add(ini, name, settings),
        }
    }
    Ok(())
}

fn add_checksums(ini: &mut Ini, tree: &Tree, paths: &[Value]) -> Result<()> {
    for path in paths.iter().filter_map(Value::as_str) {
        let checksum = checksum(tree, path)?;
        ini.section("checksums").set(path, format!("sha256:{checksum}"));
    }
    Ok(())
}

fn checksum(tree: &Tree, path: &str) -> Result<String> {
    let mut file = tree.open_file(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {path}"))?
        {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}
