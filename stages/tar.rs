//! Make a tar archive of a tree.
//!
//! The input `tree` becomes `filename`. Members are sorted; with `paths` they come in the order of these. Owners are
//! numbers, beside which root has its name. Access control lists, SELinux labels and extended attributes, each of which
//! is kept unless it is switched off, make it a pax archive whatever the `format` is. Times after the pipeline's source
//! epoch become it. The bytes depend neither on the number of processors nor on the time; sockets are left out.

use archive::compress::{self, Compression};
use archive::tar::{self, Archive, Selection, Transform};
use module::{Args, Context, Result, Tree, bail};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.tar`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("anyOf" = [
    {"required": ["root-node"], "not": {"required": ["paths"]}},
    {"required": ["paths"], "not": {"required": ["root-node"]}},
    {"not": {"required": ["paths", "root-node"]}},
]))]
pub struct Options {
    /// The archive.
    filename: String,
    /// The format; `gnu`, `oldgnu`, `ustar` and `v7` hold no attributes.
    #[serde(default)]
    format: Format,
    /// How it is compressed; `auto`: as the end of the name says.
    #[serde(default)]
    compression: Packing,
    /// Keep access control lists.
    #[serde(default = "yes")]
    acls: bool,
    /// Keep SELinux labels.
    #[serde(default = "yes")]
    selinux: bool,
    /// Keep extended attributes, file capabilities among them.
    #[serde(default = "yes")]
    xattrs: bool,
    /// Whether the root directory is a member: names are `./NAME` then, `NAME` otherwise. Not together with `paths`.
    root_node: Option<RootNode>,
    /// Only these paths, in this order; not together with `root-node`.
    paths: Option<Vec<String>>,
    /// Leave holes of files out.
    #[serde(default)]
    sparse: bool,
    /// How names become those of members, as in `s/REGEXP/REPLACEMENT/` of sed.
    transform: Option<String>,
    /// Write no name of an owner.
    #[serde(default)]
    numeric_owner: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Gnu,
    OldGnu,
    Posix,
    Ustar,
    V7,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Packing {
    #[default]
    Auto,
    Xz,
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RootNode {
    Include,
    Omit,
}

module::stage! {
    file: "tar.rs", name: "org.osbuild.tar", options: Options, run: run,
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
    let tree = args.input("tree")?.tree()?;
    let like = like(options, args.meta.source_epoch)?;
    let paths = paths(options, &tree)?;
    let compression = match options.compression {
        Packing::Auto => Compression::of_name(&options.filename),
        Packing::Xz => Some(Compression::Xz),
        Packing::Gzip => Some(Compression::Gzip),
        Packing::Zstd => Some(Compression::Zstd),
    };
    let file = args.tree.create_file(&options.filename)?;
    let mut missing = Vec::new();
    compress::write(file, compression, |out| -> Result<()> {
        let mut archive = Archive::new(out, like);
        match &paths {
            None => archive.append_tree(&tree, ".")?,
            Some(paths) => {
                for path in paths {
                    match tree.exists(path.trim_matches('/')) {
                        true => archive.append_path(&tree, path)?,
                        false => missing.push(path.as_str()),
                    }
                }
            }
        }
        Ok(archive.finish()?)
    })
    .with_context(|| format!("cannot write {}", options.filename))?;
    match missing.as_slice() {
        [] => Ok(()),
        missing => bail!("options: paths: the tree has no {}", missing.join(", ")),
    }
}

fn like(options: &Options, epoch: Option<i64>) -> Result<tar::Options> {
    let attributes = options.acls || options.selinux || options.xattrs;
    let transform = options.transform.as_deref().unwrap_or_default();
    Ok(tar::Options {
        format: match options.format {
            _ if attributes => tar::Format::Posix,
            Format::Gnu | Format::OldGnu => tar::Format::Gnu,
            Format::Posix => tar::Format::Posix,
            Format::Ustar => tar::Format::Ustar,
            Format::V7 => tar::Format::V7,
        },
        selection: Selection {
            acls: options.acls,
            selinux: options.selinux,
            xattrs: options.xattrs,
        },
        sparse: options.sparse,
        mtime: None,
        latest: epoch,
        names: !options.numeric_owner,
        transform: Transform::parse(transform).context("options: transform")?,
    })
}

/// The paths that are archived one by one; none where the root directory is a member.
fn paths(options: &Options, tree: &Tree) -> Result<Option<Vec<String>>> {
    if let Some(paths) = options.paths.as_ref().filter(|paths| !paths.is_empty()) {
        for path in paths {
            if path.split('/').any(|part| part == "..") {
                bail!("options: paths: `{path}` leads out of the tree");
            }
        }
        return Ok(Some(paths.clone()));
    }
    if options.root_node != Some(RootNode::Omit) {
        return Ok(None);
    }
    let names = tree.list("")?.into_iter().map(|name| {
        let text = name.into_string();
        text.map_err(|name| module::anyhow!("the name {} is not UTF-8", name.display()))
    });
    names.collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests;
