//! Unpack a container image into the tree.
//!
//! The only image of the input `images`. An image from a source or an archive is unpacked without tools; one in the
//! storage of the machine that builds is mounted by podman and copied. `exclude` names what is then removed.

use module::{Args, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::copy::{Options as CopyOptions, copy_root, copy_tree};

use crate::images::{self, Format, Image};

/// Options of `org.osbuild.container-deploy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Options {
    /// Paths to leave out.
    #[schemars(extend("minItems" = 1))]
    exclude: Vec<String>,
    /// Leave signatures behind; they never come into the tree.
    #[serde(rename = "remove-signatures")]
    #[allow(dead_code)]
    remove_signatures: bool,
}

module::stage! {
    file: "container_deploy.rs", name: "org.osbuild.container-deploy", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["images"],
            "properties": {"images": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything, ImageTools],
    libraries: [images::SOURCE, archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    let mut images = images::of(&args)?;
    ensure!(images.len() == 1, "it takes one image, not {}", images.len());
    let image = images.pop().context("there is no image")?;
    match image.format {
        Format::Storage => mounted(&image, &args.tree)?,
        _ if args.tree.list("")?.is_empty() => images::unpack(&image, &args.tree)?,
        _ => beside(&image, &args.tree)?,
    }
    for path in &args.options.exclude {
        args.tree.remove_all(path)?;
    }
    Ok(())
}

/// Unpacks into a directory first: what layers hide is not what the tree had before.
fn beside(image: &Image, tree: &Tree) -> Result<()> {
    let aside = tempfile::Builder::new()
        .prefix(".container-")
        .tempdir_in(tree.path())
        .context("cannot make a directory in the tree")?;
    let unpacked = Tree::open(aside.path())?;
    images::unpack(image, &unpacked)?;
    merge(&unpacked, tree)
}

fn merge(from: &Tree, tree: &Tree) -> Result<()> {
    copy_tree(from, tree, &CopyOptions::default())?;
    Ok(copy_root(from, tree)?)
}

/// Copies what podman shows of an image in the storage.
fn mounted(image: &Image, tree: &Tree) -> Result<()> {
    let source = image.source()?;
    let options = source.podman();
    let podman = |words: &[&str]| Tool::new("podman").args(&options).args(["image"]).args(words);
    let id = image.id.trim_start_matches("sha256:");
    let path = podman(&["mount", id]).output()?;
    let path = String::from_utf8(path).context("podman names no directory")?;
    let merged = Tree::open(path.trim())
        .map_err(Into::into)
        .and_then(|from| merge(&from, tree));
    let unmounted = podman(&["umount", id]).run();
    merged.and(unmounted)
}
