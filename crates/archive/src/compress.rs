//! Compression of a stream into a file. None of it depends on the number of processors.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::{Command, Stdio};
use std::thread;

use bzip2::write::BzEncoder;
use liblzma::stream::{Check, LzmaOptions, MtStreamBuilder, Stream};
use liblzma::write::XzEncoder;

use crate::{Error, Result, gzip, output};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Bzip2,
    Xz,
    /// By the build root's tool.
    Lzip,
    Lzma,
    /// By the build root's tool.
    Lzop,
    Gzip,
    Zstd,
}

/// What a compressor is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// None: the stream is written as it is.
    pub compression: Option<Compression>,
    /// Its own measure of effort; each has its usual one.
    pub level: Option<u32>,
    /// How much there will be, where that is known: zstd notes it down.
    pub size: Option<u64>,
}

impl From<Option<Compression>> for Settings {
    fn from(compression: Option<Compression>) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }
}

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
///
/// # Errors
/// Those of `produce`, of the file, and [`Error::Unsuitable`] where the build root lacks the tool.
pub fn write<E: From<Error> + From<std::io::Error>>(
    file: File,
    settings: impl Into<Settings>,
    produce: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let settings = settings.into();
    match settings.compression {
        Some(Compression::Lzip) => return through("lzip", file, produce),
        Some(Compression::Lzop) => return through("lzop", file, produce),
        _ => {}
    }
    let mut file = output::buffered(file);
    // at least one worker, since the mode without any makes other bytes; xz wants 100 MB for each
    let workers = thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let level = settings.level;
    match settings.compression {
        None | Some(Compression::Lzip | Compression::Lzop) => produce(&mut file)?,
        Some(Compression::Gzip) => gzip::write(&mut file, level.unwrap_or(6), produce)?,
        Some(Compression::Bzip2) => {
            let level = bzip2::Compression::new(level.unwrap_or(9));
            let mut encoder = BzEncoder::new(&mut file, level);
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Xz) => {
            let preset = level.unwrap_or(6);
            let stream = MtStreamBuilder::new()
                .threads(workers.min(8))
                .block_size(xz_block(preset))
                .preset(preset)
                .check(Check::Crc64)
                .encoder()
                .map_err(std::io::Error::from)?;
            let mut encoder = XzEncoder::new_stream(&mut file, stream);
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Lzma) => {
            let options = LzmaOptions::new_preset(level.unwrap_or(6)).map_err(std::io::Error::from)?;
            let stream = Stream::new_lzma_encoder(&options).map_err(std::io::Error::from)?;
            let mut encoder = XzEncoder::new_stream(&mut file, stream);
            produce(&mut encoder)?;
            encoder.finish()?;
        }
        Some(Compression::Zstd) => {
            let level = level.unwrap_or(0).cast_signed();
            let mut encoder = zstd::Encoder::new(&mut file, level)?;
            encoder.multithread(workers.min(16))?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(settings.size)?;
            produce(&mut encoder)?;
            encoder.finish()?;
        }
    }
    Ok(file.flush()?)
}

/// Uncompressed size of a block of an xz file, as `xz -T` takes it: three times the preset's dictionary, 1 MiB at least.
fn xz_block(preset: u32) -> u64 {
    let dictionary: u64 = match preset {
        0 => 1 << 18,
        1 => 1 << 20,
        2 => 2 << 20,
        3 | 4 => 4 << 20,
        5 | 6 => 8 << 20,
        7 => 16 << 20,
        8 => 32 << 20,
        _ => 64 << 20,
    };
    (3 * dictionary).max(1 << 20)
}

/// Compresses with the filter `tool` of the build root.
fn through<E: From<Error> + From<std::io::Error>>(
    tool: &str,
    file: File,
    produce: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut child = Command::new(tool)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .map_err(|error| spawning(tool, error))?;
    let produced = match child.stdin.take() {
        Some(stdin) => {
            let mut stdin = BufWriter::with_capacity(256 * 1024, stdin);
            produce(&mut stdin).and_then(|()| Ok(stdin.flush()?))
        }
        None => Ok(()),
    };
    let status = child.wait()?;
    if !status.success() {
        return Err(Error::Unsuitable(format!("`{tool}` failed: {status}")).into());
    }
    produced
}

/// Why a filter of the build root did not start.
pub(crate) fn spawning(tool: &str, error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        return Error::Unsuitable(format!(
            "the build root has no `{tool}`: add the package of that name to the build pipeline"
        ));
    }
    Error::at(|| format!("cannot run `{tool}`"))(error)
}
