//! What is built from: archives and files that every machine can make for itself.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The largest file that goes into [`tree_archive`]: an operating system has few of them.
const LARGEST: u64 = 16 << 20;

/// Bytes that no compressor makes smaller, the same each time.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            // xorshift64: Marsaglia, 2003
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            piece.copy_from_slice(&self.0.to_le_bytes()[..piece.len()]);
        }
    }
}

/// Writes a file of noise.
pub(super) fn write_noise(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let (mut noise, mut buffer) = (Noise::new(1), vec![0; 1 << 20]);
    for _ in 0..size.div_ceil(1 << 20) {
        noise.fill(&mut buffer);
        file.write_all(&buffer)?;
    }
    Ok(file.set_len(size)?)
}

/// `sources` of a manifest with this file, and its name as a reference.
pub(super) fn source(path: &Path) -> Result<(Value, String)> {
    let digest = format!("sha256:{}", sha256(path)?);
    let url = format!("file://{}", path.display());
    Ok((
        json!({"org.osbuild.curl": {"items": {digest.clone(): {"url": url}}}}),
        digest,
    ))
}

/// The SHA-256 of a file's content.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// The sizes of an archive.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Packs `/usr` of this machine until there are so many files or bytes: real programs, libraries and texts.
pub(super) fn tree_archive(path: &Path, most: Sizes) -> Result<Sizes> {
    let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
    archive.follow_symlinks(false);
    let mut sizes = Sizes::default();
    for directory in ["usr/bin", "usr/share", "usr/lib"] {
        pack(&mut archive, Path::new(directory), most, &mut sizes)?;
    }
    archive.into_inner()?.flush()?;
    Ok(sizes)
}

fn pack(
    archive: &mut tar::Builder<impl Write>,
    directory: &Path,
    most: Sizes,
    sizes: &mut Sizes,
) -> Result<()> {
    let on_disk = Path::new("/").join(directory);
    archive.append_path_with_name(&on_disk, directory)?;
    let mut entries: Vec<_> = std::fs::read_dir(&on_disk)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if sizes.files >= most.files || sizes.bytes >= most.bytes {
            return Ok(());
        }
        let (kind, stat) = (entry.file_type()?, entry.metadata()?);
        let name = directory.join(entry.file_name());
        if kind.is_dir() {
            pack(archive, &name, most, sizes)?;
        } else if kind.is_symlink() || (kind.is_file() && stat.len() < LARGEST) {
            // others may be changing it: what cannot be read is left out
            if archive.append_path_with_name(entry.path(), &name).is_ok() {
                sizes.files += 1;
                sizes.bytes += if kind.is_file() { stat.len() } else { 0 };
            }
        }
    }
    Ok(())
}

/// An archive of so many files of noise, a hundred a directory.
pub(super) fn noise_archive(path: &Path, sizes: Sizes) -> Result<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let mut noise = Noise::new(2);
    let mut content = vec![0; usize::try_from(sizes.bytes / sizes.files.max(1))?];
    for number in 0..sizes.files {
        noise.fill(&mut content);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        archive.append_data(
            &mut header,
            format!("srv/{:04}/{number}", number / 100),
            &content[..],
        )?;
    }
    Ok(archive.into_inner()?.flush()?)
}

/// The stage that unpacks a source.
pub(super) fn untar(reference: &str) -> Value {
    json!({"type": "org.osbuild.untar", "inputs": {"file": {
        "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [reference],
    }}})
}
