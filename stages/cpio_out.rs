//! Make a cpio archive of a tree.
//!
//! The input `tree` becomes `filename`, or is added to the archive there. Members are sorted, a directory before what it
//! holds, as the kernel wants them in an initramfs. Times after the pipeline's source epoch become it.

use archive::cpio;
use module::{Args, Context, Result, bail};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.cpio.out`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The archive.
    filename: String,
    /// Add to an archive of this format that is there.
    #[serde(default)]
    append: bool,
    /// The format; the kernel takes `newc` and `crc`.
    #[serde(default)]
    format: Format,
    /// Whether the root directory is a member.
    #[serde(default)]
    root_node: RootNode,
    /// Leave devices out and number the inodes.
    #[serde(default = "yes")]
    reproducible: bool,
    /// Owner of all members, instead of each one's own.
    owner: Option<Owner>,
}

/// Owner of all members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// A number, or `root`.
    user: String,
    /// A number.
    group: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Bin,
    Odc,
    #[default]
    Newc,
    Crc,
    Tar,
    Ustar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RootNode {
    #[default]
    Include,
    Omit,
}

module::stage! {
    file: "cpio_out.rs", name: "org.osbuild.cpio.out", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST],
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let like = cpio::Options {
        format: match options.format {
            Format::Bin => cpio::Format::Bin,
            Format::Odc => cpio::Format::Odc,
            Format::Newc => cpio::Format::Newc,
            Format::Crc => cpio::Format::Crc,
            Format::Tar => cpio::Format::Tar,
            Format::Ustar => cpio::Format::Ustar,
        },
        root: options.root_node == RootNode::Include,
        renumber: options.reproducible,
        owner: owner(options.owner.as_ref())?,
        latest: args.meta.source_epoch,
    };
    let tree = args.input("tree")?.tree()?;
    let flags = OFlags::RDWR | OFlags::CREATE;
    let file = args.tree.open_at(&options.filename, flags, 0o644)?;
    cpio::write(&tree, &file.into(), options.append, like)
        .with_context(|| format!("cannot write {}", options.filename))
}

/// The numbers of user and group. Names belong to some system's user database: only root's is the same on all.
fn owner(owner: Option<&Owner>) -> Result<(Option<u32>, Option<u32>)> {
    let Some(owner) = owner else {
        return Ok((None, None));
    };
    let user = match owner.user.as_str() {
        "root" => 0,
        text => number("user", text)?,
    };
    let group = owner.group.as_deref().filter(|group| !group.is_empty());
    let group = group.map(|text| number("group", text)).transpose()?;
    Ok((Some(user), group))
}

fn number(what: &str, text: &str) -> Result<u32> {
    match text.trim_start_matches('+').parse() {
        Ok(number) => Ok(number),
        Err(_) => bail!("options: owner: {what}: `{text}` is not a number"),
    }
}
