//! Make a container image, as an archive in the format `oci-archive`.
//!
//! Each input is a tree that becomes a layer: `base`, then `layer.1`, `layer.2` and so on by their numbers. Layers keep
//! owners, POSIX ACLs, file capabilities, IMA signatures and attributes of users, but no SELinux labels. The time of
//! creation is the pipeline's source epoch; with one the same trees give the same archive.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use archive::oci::{Config, Layout, MEMBERS};
use archive::time::rfc3339;
use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::common;

/// Options of `org.osbuild.oci-archive`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The CPU architecture, in Go's terms: `amd64`, `arm64`.
    architecture: String,
    /// The variant of the architecture, such as `v8`.
    variant: Option<String>,
    /// The archive.
    filename: String,
    /// What a container of the image runs.
    #[serde(default)]
    config: Config,
    /// Annotations of the manifest.
    #[schemars(extend(
        "additionalProperties" = false,
        "properties" = {
            "org.osbuild.ostree.layer": {"type": "string"},
            "org.osbuild.ostree.repo": {"type": "string"},
            "org.osbuild.ostree.ref": {"type": "string"},
        },
        "patternProperties" = {"^(?!org.osbuild|org.opencontainer).+": {"type": "string"}},
    ))]
    annotations: Option<Map<String, Value>>,
}

module::stage! {
    file: "oci_archive.rs", name: "org.osbuild.oci-archive", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["base"],
            "properties": {"base": {"type": "object", "additionalProperties": true}},
            "patternProperties": {r"layer\.[1-9]\d*": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST, common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let time = common::now(&args.meta);
    let scratch = tempfile::Builder::new()
        .prefix(".oci-")
        .tempdir_in(args.tree.path())
        .context("cannot make a directory in the tree")?;
    let layout = Layout::create(scratch.path())?;
    let (mut layers, mut ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for name in inputs(&args)? {
        let tree = &args.input(name)?.path;
        println!("making a layer of {}", tree.display());
        let tar = scratch.path().join("layer.tar");
        pack(tree, &tar)?;
        let (layer, id) = layout.add_layer(BufReader::new(File::open(&tar)?))?;
        std::fs::remove_file(&tar)?;
        layers.push(layer);
        ids.push(id);
        history.push(json!({
            "created": rfc3339(time),
            "created_by": format!("/bin/sh -c #(nop) osbuild input '{name}'"),
        }));
    }
    let mut config = json!({
        "created": rfc3339(time),
        "architecture": options.architecture,
        "os": "linux",
        "config": options.config.to_value(),
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": history,
    });
    if let Some(variant) = options.variant.as_ref().filter(|variant| !variant.is_empty()) {
        config["variant"] = variant.as_str().into();
    }
    layout.finish(&config, &layers, options.annotations.as_ref())?;
    let filename = options.filename.trim_start_matches('/');
    Tool::new("tar")
        .args([
            "--sort=name",
            "--no-selinux",
            "--no-xattrs",
            "--no-acls",
            "--format=posix",
        ])
        .args([
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=go=rX,u+rw,a-s",
        ])
        .args(["--pax-option", "delete=atime,delete=ctime"])
        .arg(format!("--mtime=@{time}"))
        .arg("-cf")
        .arg(args.tree.path().join(filename))
        .arg("-C")
        .arg(scratch.path())
        .args(MEMBERS)
        .run()
}

/// What layers keep of attributes, as tar's pattern.
const ATTRIBUTES: &str = r"^(user.|security\.ima|security\.capability)";

fn pack(tree: &Path, to: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(tree).context("cannot read an input")? {
        names.push(entry.context("cannot read an input")?.file_name());
    }
    names.sort();
    if names.is_empty() {
        // tar refuses to make an archive of nothing; this is one
        return std::fs::write(to, [0; 10240]).context("cannot write the layer");
    }
    Tool::new("tar")
        .args(["--sort=name", "--no-selinux", "--acls", "--xattrs"])
        .arg(format!("--xattrs-include={ATTRIBUTES}"))
        .args(["--format=posix", "--numeric-owner"])
        .args(["--pax-option", "delete=atime,delete=ctime"])
        .arg("-cf")
        .arg(to)
        .arg("-C")
        .arg(tree)
        .arg("--")
        .args(names)
        .run()
}

/// The names of the inputs: `base`, then the layers by their numbers.
fn inputs(args: &Args<Options>) -> Result<Vec<&str>> {
    let mut names = Vec::new();
    for name in args.inputs.keys() {
        let number = match name.as_str() {
            "base" => Some(0),
            layer => layer
                .strip_prefix("layer.")
                .and_then(|number| number.parse::<u64>().ok()),
        };
        ensure!(
            number.is_some(),
            "the input `{name}` is neither `base` nor a layer"
        );
        names.push((number, name.as_str()));
    }
    names.sort();
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_go_by_their_numbers() {
        let inputs_of = |names: &[&str]| {
            let map: Map<String, Value> = names
                .iter()
                .map(|name| (name.to_string(), json!({"path": "/"})))
                .collect();
            let args = json!({
                "tree": "/", "inputs": map, "options": {"architecture": "amd64", "filename": "x"},
            });
            let args = Args::<Options>::from_json(args).unwrap();
            inputs(&args).map(|names| names.join(" "))
        };
        assert_eq!(
            inputs_of(&["layer.10", "layer.2", "base"]).unwrap(),
            "base layer.2 layer.10"
        );
        assert!(inputs_of(&["base", "other"]).is_err());
    }
}
