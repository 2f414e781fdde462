//! Copy bytes from a file into a file of the tree.
//!
//! `count` bytes from `src_offset` on overwrite the beginning of `dst`, which keeps what is behind them; a source that ends
//! before gives as much as it has.

use std::io::{Read, Seek, SeekFrom};

use module::{Args, Context, Location, Result};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.dd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The source: `input://NAME/…`, `tree:///…` or `mount://NAME/…`.
    #[schemars(regex(pattern = "^(input|tree|mount)://."))]
    src: String,
    /// The file of the tree.
    dst: String,
    /// Bytes of the source that are passed over.
    #[serde(default)]
    #[schemars(range(min = 0))]
    src_offset: i64,
    /// How many bytes are copied.
    #[schemars(range(min = 1))]
    count: i64,
}

module::stage! {
    file: "dd.rs", name: "org.osbuild.dd", options: Options, run: run,
    takes: {"inputs": {"type": "object", "additionalProperties": true}},
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let from = Location::parse(&options.src)?;
    let mut source = from.root(&args)?.open_file(from.path().trim_start_matches('/'))?;
    source.seek(SeekFrom::Start(u64::try_from(options.src_offset)?))?;
    let mut source = source.take(u64::try_from(options.count)?);
    let name = options.dst.trim_start_matches('/');
    let fd = args.tree.open_at(name, OFlags::WRONLY | OFlags::CREATE, 0o666)?;
    let mut file = std::fs::File::from(fd);
    let copied = std::io::copy(&mut source, &mut file);
    let copied = copied.with_context(|| format!("cannot copy {} to {}", options.src, options.dst))?;
    println!("{copied} bytes copied");
    Ok(())
}
