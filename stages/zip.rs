//! Make a zip archive of a tree.
//!
//! The input `tree` becomes `filename`, to which `.zip` is added if its name has no dot. Members are sorted. Links are
//! followed inside the tree: a file is archived under each of its names. Times after the pipeline's source epoch become
//! it. The bytes depend neither on the number of processors nor on the time.

use archive::zip;
use module::{Args, Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.zip`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The archive.
    #[schemars(length(min = 1))]
    filename: String,
    /// Only members that one of these patterns of the shell matches; `*` matches slashes as well.
    #[serde(default)]
    include: Vec<String>,
    /// From 0, not compressed, to 9, the smallest.
    #[serde(default = "usual")]
    #[schemars(range(min = 0, max = 9))]
    level: u32,
}

module::stage! {
    file: "zip.rs", name: "org.osbuild.zip", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST],
}

fn usual() -> u32 {
    6
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let tree = args.input("tree")?.tree()?;
    let name = with_ending(&options.filename);
    ensure!(
        !args.tree.exists(&name),
        "options: filename: {name} is in the tree already, and zip archives are not changed"
    );
    let file = args.tree.create_file(&name)?;
    let like = zip::Options {
        level: options.level,
        include: options.include.clone(),
        latest: args.meta.source_epoch,
    };
    let count = zip::write(&tree, &file, &like).with_context(|| format!("cannot write {name}"))?;
    ensure!(count > 0, "there is nothing to archive");
    println!("{count} members");
    Ok(())
}

/// The name that `zip` would give the archive.
fn with_ending(filename: &str) -> String {
    let last = filename.rsplit('/').next().unwrap_or(filename);
    match last.contains('.') {
        true => filename.to_owned(),
        false => format!("{filename}.zip"),
    }
}
