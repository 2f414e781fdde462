//! Compression of an archive. None of it depends on the number of processors.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::{Command, Stdio};
use std::thread;

use bzip2::write::BzEncoder;
use liblzma::stream::{Check, LzmaOptions, MtStreamBuilder, Stream};
use liblzma::write::XzEncoder;
use module::{Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::gzip;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Bzip2,
    Xz,
    Lzip,
    Lzma,
    Lzop,
    Gzip,
    Zstd,
}

/// Uncompressed size of a block of an xz file: three times the dictionary of preset 6, as `xz -T` takes it.
const XZ_BLOCK: u64 = 24 << 20;

impl Compression {
    /// What the end of a file's name says, as `tar --auto-compress` reads it.
    pub fn of_name(name: &str) -> Option<Self> {
        let extension = name.rsplit_once('.')?.1;
        Some(match extension {
            "gz" | "tgz" | "taz" => Self::Gzip,
            "bz2" | "tbz" | "tbz2" | "tz2" => Self::Bzip2,
            "xz" | "txz" => Self::Xz,
            "lzma" | "tlz" => Self::Lzma,
            "lz" => Self::Lzip,
            "lzo" => Self::Lzop,
            "zst" | "tzst" => Self::Zstd,
            _ => return None,
        })
    }
}

/// Has `produce` write into `file`, compressed.
pub fn write(
    file: File,
    compression: Option<Compression>,
    produce: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    if let Some(Compression::Lzip) = compression {
        return through("lzip", file, produce);
    }
    if let Some(Compression::Lzop) = compression {
        return through("lzop", file, produce);
    }
    let mut file = BufWriter::with_capacity(256 * 1024, file);
    // at least one worker, since the mode without any makes other bytes; xz wants 100 MB for each
    let workers = thread::available_parallelism().map_or(1, |n| n.get() as u32);
    match compression {
        None | Some(Compression::Lzip | Compression::Lzop) => produce(&mut file)?,
        Some(Compression::Gzip) => gzip::write(&mut file, produce)?,
        Some(Compression::Bzip2) => {
            let mut encoder = BzEncoder::new(&mut file, bzip2::Compression::best());
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Xz) => {
            let stream = MtStreamBuilder::new()
                .threads(workers.min(8))
                .block_size(XZ_BLOCK)
                .preset(6)
                .check(Check::Crc64)
                .encoder()?;
            let mut encoder = XzEncoder::new_stream(&mut file, stream);
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Lzma) => {
            let stream = Stream::new_lzma_encoder(&LzmaOptions::new_preset(6)?)?;
            let mut encoder = XzEncoder::new_stream(&mut file, stream);
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Zstd) => {
            let mut encoder = zstd::Encoder::new(&mut file, 0)?;
            encoder.multithread(workers.min(16))?;
            encoder.include_checksum(true)?;
            produce(&mut encoder)?;
            encoder.finish()?;
        }
    }
    Ok(file.flush()?)
}

/// Compresses with the filter `tool` of the build root.
fn through(tool: &str, file: File, produce: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let child = Command::new(tool)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn();
    let mut child = match child {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            module::bail!(
                "the build root has no `{tool}`: add the package of that name to the build pipeline"
            )
        }
        child => child.with_context(|| format!("cannot run `{tool}`"))?,
    };
    let stdin = child.stdin.take().context("the filter has no stdin")?;
    let produced = {
        let mut stdin = BufWriter::with_capacity(256 * 1024, stdin);
        produce(&mut stdin).and_then(|()| Ok(stdin.flush()?))
    };
    let status = child.wait()?;
    module::ensure!(status.success(), "`{tool}` failed: {status}");
    produced
}
