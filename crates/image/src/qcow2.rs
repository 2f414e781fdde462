//! QEMU's disk format, written in one pass from a sparse disk: no empty cluster, each other one compressed or as it is.
//!
//! ```text
//! header | first-level table | clusters, in the disk's order | second-level tables | reference counts
//! ```
//!
//! Compression runs on all cores; the result does not depend on how many there are.

use std::fs::File;

use crate::blocks::Blocks;
use crate::deflate::Deflater;
use crate::output::Output;
use crate::qcow2_tables::{CLUSTER, SECTOR, Tables};
use crate::{Error, Result, SparseFile};

/// The next level gains 1 % of the size for a quarter more time; the one below loses 2 % and is little faster.
const ZSTD_LEVEL: i32 = 2;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Raw deflate: every reader knows it.
    #[default]
    Zlib,
    /// Better and faster; QEMU 5.1 and later.
    Zstd,
    None,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub compression: Compression,
    /// The format before QEMU 1.1 (`compat=0.10`); it knows no zstd.
    pub version_2: bool,
    /// 0: as many as there are cores.
    pub threads: usize,
}

/// How a cluster is in the file.
enum Stored {
    Compressed,
    Plain,
}

/// Writes `disk` into the empty file `output`.
pub fn write(disk: &SparseFile, output: &File, options: &Options) -> Result<()> {
    if options.version_2 && options.compression == Compression::Zstd {
        return Err(Error::unsuitable("qcow2 version 2 knows no zstd: take zlib"));
    }
    let mut tables = Tables::new(disk.size().next_multiple_of(SECTOR));
    let mut file = Output::new(output, disk)?;
    Blocks::of(disk, CLUSTER, options.threads).each(
        || Packer::new(options.compression),
        Packer::pack,
        |number, stored, bytes| {
            let at = match stored {
                Stored::Compressed => tables.put_compressed(number, bytes.len() as u64),
                Stored::Plain => tables.put_plain(number),
            };
            file.put(bytes, at)
        },
    )?;
    let (placed, length) = tables.finish(options);
    output
        .set_len(length)
        .map_err(Error::io("write the qcow2 file"))?;
    placed.iter().try_for_each(|(at, bytes)| file.put(bytes, *at))?;
    file.finish()
}

/// A thread's compressor with its buffers.
enum Packer {
    Zlib(Box<Deflater>),
    Zstd {
        engine: Box<zstd::bulk::Compressor<'static>>,
        output: Vec<u8>,
    },
    None,
}

impl Packer {
    fn new(compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::Zlib => Self::Zlib(Box::new(Deflater::new())),
            Compression::Zstd => Self::Zstd {
                engine: Box::new(
                    zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(Error::io("start the compressor"))?,
                ),
                // a result that is not smaller is of no use
                output: vec![0; CLUSTER as usize - 1],
            },
            Compression::None => Self::None,
        })
    }

    fn pack(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<Stored> {
        let packed = match self {
            Self::None => None,
            Self::Zlib(deflater) => deflater.compress(bytes),
            Self::Zstd { engine, output } => {
                let length = engine.compress_to_buffer(bytes, &mut output[..]).ok();
                length.map(|length| &output[..length])
            }
        };
        to.extend_from_slice(packed.unwrap_or(bytes));
        Ok(match packed {
            Some(_) => Stored::Compressed,
            None => Stored::Plain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{disk, large_disk, no_qemu_img, qemu_img};

    #[test]
    fn qemu_reads_back_what_was_written() {
        if no_qemu_img() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("disk.raw");
        let raw = raw.to_str().unwrap();
        let (sectors, odd) = ((90 << 20) + 512 * 77, (20 << 20) + 811);
        for (seed, size, compression, version_2) in [
            (1, sectors, Compression::Zlib, false),
            (2, sectors, Compression::Zstd, false),
            (3, sectors, Compression::None, false),
            (4, sectors, Compression::Zlib, true),
            (5, odd, Compression::Zlib, false),
            (6, odd, Compression::None, false),
        ] {
            let disk = disk(dir.path(), seed, size);
            let mut files = Vec::new();
            for threads in [1, 3] {
                let path = dir.path().join(format!("{threads}.qcow2"));
                let options = Options {
                    compression,
                    version_2,
                    threads,
                };
                write(&disk, &File::create(&path).unwrap(), &options).unwrap();
                let path = path.to_str().unwrap();
                qemu_img(&["check", "-f", "qcow2", path]);
                qemu_img(&["compare", "-f", "raw", "-F", "qcow2", raw, path]);
                files.push(std::fs::read(path).unwrap());
            }
            assert!(
                files[0] == files[1],
                "{compression:?} depends on the number of threads"
            );
        }
    }

    #[test]
    fn a_large_disk_is_the_same_past_the_page_cache() {
        if no_qemu_img() {
            return;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let disk = large_disk(dir.path(), 5);
        for compression in [Compression::Zlib, Compression::Zstd, Compression::None] {
            let mut files = Vec::new();
            for threads in [1, 3] {
                let path = dir.path().join(format!("{threads}.qcow2"));
                let options = Options {
                    compression,
                    version_2: false,
                    threads,
                };
                write(&disk, &File::create(&path).unwrap(), &options).unwrap();
                let path = path.to_str().unwrap();
                let raw = dir.path().join("disk.raw");
                qemu_img(&["check", "-f", "qcow2", path]);
                qemu_img(&["compare", "-f", "raw", "-F", "qcow2", raw.to_str().unwrap(), path]);
                files.push(std::fs::read(path).unwrap());
            }
            assert!(files[0] == files[1], "{compression:?}");
        }
    }

    #[test]
    fn an_empty_disk_is_a_file_of_tables() {
        let disk = SparseFile::new(tempfile::tempfile().unwrap(), 10 << 30).unwrap();
        let output = tempfile::NamedTempFile::new().unwrap();
        write(&disk, output.as_file(), &Options::default()).unwrap();
        assert_eq!(output.as_file().metadata().unwrap().len(), 4 * CLUSTER);
        if !no_qemu_img() {
            qemu_img(&["check", "-f", "qcow2", output.path().to_str().unwrap()]);
        }
    }
}
