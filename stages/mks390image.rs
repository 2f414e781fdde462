//! Make a boot image for IBM Z with mk-s390image.
//!
//! Runs mk-s390image of the build root on files of the tree, in a scratch directory: what it is given lies nowhere else.

use module::{Args, Context, Result, Tool, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.mks390image`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The kernel.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    kernel: String,
    /// The initial ram disk.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    initrd: String,
    /// The file with the kernel's command line.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    config: String,
    /// The image that is written.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    image: String,
}

module::stage! {
    file: "mks390image.rs", name: "org.osbuild.mks390image", options: Options, run: run,
    needs: [Tools],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let dir = tempfile::tempdir().context("cannot make a scratch directory")?;
    let scratch = Tree::open(dir.path())?;
    for (from, to) in [
        (&options.kernel, "kernel"),
        (&options.initrd, "initrd"),
        (&options.config, "config"),
    ] {
        copy(tree, from, &scratch, to)?;
    }
    Tool::new("mk-s390image")
        .args(["kernel", "image", "-r", "initrd", "-p", "config"])
        .dir(dir.path())
        .run()?;
    copy(&scratch, "image", tree, &options.image)
}

fn copy(from: &Tree, from_path: &str, to: &Tree, to_path: &str) -> Result<()> {
    let mut source = from.open_file(from_path)?;
    let mut target = to.create_file(to_path)?;
    std::io::copy(&mut source, &mut target)
        .with_context(|| format!("cannot copy {from_path} to {to_path}"))?;
    Ok(())
}
