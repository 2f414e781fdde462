//! Unpacking the layers of an image, one over the other, into a directory.
//!
//! A layer is a tar archive. `.wh.NAME` in it removes NAME of the layers below, `.wh..wh..opq` all that these have in its
//! directory (OCI image specification, "Whiteouts").

mod layer;
mod oci;

use std::io::{BufRead, BufReader, Read};

use module::{Context, Result, Tree, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Format, Image};
use layer::Layer;
use oci::Archive;

/// Where the blobs of an image are.
enum Blobs<'a> {
    Dir(&'a Image),
    Archive(Archive),
}

/// Unpacks an image that is not in a storage into `to`, an empty directory.
///
/// # Errors
/// A blob is missing or has another digest than the manifest says; an entry cannot be made.
pub fn unpack(image: &Image, to: &Tree) -> Result<()> {
    let blobs = match image.format {
        Format::Dir => Blobs::Dir(image),
        Format::OciArchive => Blobs::Archive(Archive::open(&image.path)?),
        Format::Storage => bail!("an image in a storage cannot be unpacked"),
    };
    let manifest = blobs.manifest()?;
    let layers = manifest["layers"]
        .as_array()
        .context("the image's manifest names no layers")?;
    for layer in layers {
        let digest = layer["digest"].as_str().context("a layer has no digest")?;
        println!("unpacking {digest}");
        blobs
            .layer(digest, to)
            .with_context(|| format!("the layer {digest}"))?;
    }
    Ok(())
}

impl Blobs<'_> {
    fn manifest(&self) -> Result<Value> {
        match self {
            Self::Dir(image) => {
                let text =
                    std::fs::read(image.path.join(super::MANIFEST)).context("cannot read the manifest")?;
                serde_json::from_slice(&text).context("the image's manifest")
            }
            Self::Archive(archive) => archive.manifest(),
        }
    }

    fn layer(&self, digest: &str, to: &Tree) -> Result<()> {
        let hex = digest
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .context("its digest is no SHA-256")?;
        let blob: Box<dyn Read> = match self {
            Self::Dir(image) => {
                Box::new(std::fs::File::open(image.path.join(hex)).context("it is not in the image")?)
            }
            Self::Archive(archive) => Box::new(archive.blob(hex)?),
        };
        let mut hashing = Hashing {
            from: blob,
            hash: Sha256::new(),
        };
        let mut layer = Layer::new(to);
        layer.unpack(decompressed(BufReader::with_capacity(128 * 1024, &mut hashing))?)?;
        std::io::copy(&mut hashing, &mut std::io::sink())?;
        let found = hex::encode(hashing.hash.finalize());
        ensure!(found == hex, "it has the digest sha256:{found}");
        Ok(())
    }
}

/// Compression is told by the first bytes, since media types may say anything.
fn decompressed<'a>(mut from: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    Ok(match from.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(from)),
        _ => Box::new(from),
    })
}

struct Hashing<'a> {
    from: Box<dyn Read + 'a>,
    hash: Sha256,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}
