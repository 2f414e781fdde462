//! Make a tar archive of the tree.
//!
//! Member names start with `./` and are sorted; owners are numbers. The format is pax, with attributes, access control
//! lists and SELinux labels as GNU tar writes them, hard links, sparse files and devices:
//! `tar --xattrs --xattrs-include='*' -xpf FILE` restores all of it. Sockets are left out. The bytes depend neither on
//! the number of processors nor on the time.
//!
//! In format 2 the name means the stage `org.osbuild.tar`; there this is `org.osbuild.tar.assembler`.

use archive::compress;
use archive::tar::{self, Archive, Selection};
use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

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

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Bzip2,
    Xz,
    Lzip,
    Lzma,
    Lzop,
    Gzip,
    Zstd,
}

impl From<Compression> for compress::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Bzip2 => Self::Bzip2,
            Compression::Xz => Self::Xz,
            Compression::Lzip => Self::Lzip,
            Compression::Lzma => Self::Lzma,
            Compression::Lzop => Self::Lzop,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

module::assembler! {
    file: "tar.rs", name: "org.osbuild.tar", options: Options, run: run,
    aliases: ["org.osbuild.tar.assembler"],
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let file = args
        .output()?
        .create_file(&options.filename)
        .context("`filename`")?;
    let like = tar::Options {
        selection: Selection {
            acls: options.acls,
            selinux: options.selinux,
            xattrs: options.xattrs,
        },
        ..tar::Options::default()
    };
    compress::write(
        file,
        options.compression.map(compress::Compression::from),
        |out| {
            let mut archive = Archive::new(out, like);
            archive.append_tree(&args.tree, ".")?;
            archive.finish()
        },
    )
    .with_context(|| format!("cannot write {}", options.filename))
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
