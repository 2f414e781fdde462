//! Make a tar archive of the tree.
//!
//! Member names start with `./` and are sorted; owners are numbers. The format is pax, with attributes, access control
//! lists and SELinux labels as GNU tar writes them, hard links, sparse files and devices:
//! `tar --xattrs --xattrs-include='*' -xpf FILE` restores all of it. Sockets are left out. The bytes depend neither on
//! the number of processors nor on the time.

pub(crate) mod attributes;
pub(crate) mod compress;
pub(crate) mod gzip;
pub(crate) mod header;
pub(crate) mod sparse;
pub(crate) mod writer;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use attributes::Selection;
use compress::Compression;
use writer::Archive;

/// Options of `org.osbuild.tar`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The archive's name in the output directory.
    filename: String,
    /// How it is compressed; not at all without this. `lzip` and `lzop` need the tool of that name.
    compression: Option<Compression>,
    /// Keep access control lists.
    #[serde(default = "yes")]
    acls: bool,
    /// Keep SELinux labels.
    #[serde(default = "yes")]
    selinux: bool,
    /// Keep extended attributes, file capabilities among them.
    #[serde(default = "yes")]
    xattrs: bool,
}

/// What decides the bytes of an archive, for the digest of a module that writes one.
pub(crate) const SOURCES: &[&str] = &[
    include_str!("tar/attributes.rs"),
    include_str!("tar/compress.rs"),
    include_str!("tar/gzip.rs"),
    include_str!("tar/header.rs"),
    include_str!("tar/sparse.rs"),
    include_str!("tar/writer.rs"),
];

module::assembler! {
    file: "tar.rs", name: "org.osbuild.tar", options: Options, run: run,
    libraries: [SOURCES[0], SOURCES[1], SOURCES[2], SOURCES[3], SOURCES[4], SOURCES[5]],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let file = args
        .output()?
        .create_file(&options.filename)
        .context("`filename`")?;
    let selection = Selection {
        acls: options.acls,
        selinux: options.selinux,
        xattrs: options.xattrs,
    };
    compress::write(file, options.compression, |out| {
        let mut archive = Archive::new(out, selection);
        archive.append_tree(&args.tree, ".")?;
        archive.finish()
    })
    .with_context(|| format!("cannot write {}", options.filename))
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
