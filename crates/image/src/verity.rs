//! The hash tree of dm-verity, as `veritysetup format` writes it (superblock version 1, hash type 1, SHA-256).
//!
//! ```text
//! 0            superblock, 512 bytes; then zeros up to a whole hash block
//! 1 block      the one block of the topmost level
//! …            the levels below it, down to the digests of the data blocks
//! ```
//!
//! Each block of a level holds the digests (salt first, then the block) of the blocks below, in their order, and then
//! zeros. The digest of the topmost block is the root hash. The superblock is described in cryptsetup's on-disk format
//! documentation of dm-verity.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::record::Record;
use crate::{Error, Result, SparseFile};

const DIGEST: usize = 32;
/// Data is read in pieces of so many bytes, about.
const PIECE: usize = 1 << 20;

/// What is asked of a hash tree.
#[derive(Debug, Clone)]
pub struct Options {
    pub uuid: Uuid,
    /// At most 256 bytes.
    pub salt: Vec<u8>,
    /// Bytes of a block of data.
    pub data_block: u32,
    /// Bytes of a block of digests.
    pub hash_block: u32,
}

/// A part of a file, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub image: &'a SparseFile,
    pub start: u64,
    pub size: u64,
}

/// Writes the superblock and the hash tree of `data` to the beginning of `hashes`; the root hash.
///
/// # Errors
/// Blocks of a size that cannot be, data without a block, too little space: found before anything is written.
pub fn format(data: Part<'_>, hashes: Part<'_>, options: &Options) -> Result<[u8; DIGEST]> {
    options.check()?;
    let blocks = data.size / u64::from(options.data_block);
    if blocks == 0 {
        return Err(Error::unsuitable("the data device has no whole block"));
    }
    let counts = options.levels(blocks);
    let needed = (counts.iter().sum::<u64>() + 1) * u64::from(options.hash_block);
    if hashes.size < needed {
        return Err(Error::TooSmall {
            what: "the hash device",
            given: hashes.size,
            needed,
        });
    }
    let mut digests = options.of_data(data, blocks)?;
    let mut at = hashes.start + needed;
    for _ in &counts {
        let level = options.padded(&digests);
        at -= level.len() as u64;
        hashes.image.write(&level, at)?;
        digests = level
            .chunks(options.hash_block as usize)
            .map(|block| options.digest(block))
            .collect();
    }
    let mut first = options.superblock(blocks);
    first.resize(options.hash_block as usize, 0);
    hashes.image.write(&first, hashes.start)?;
    // of a single block of data there is no level, its digest is the root
    digests
        .first()
        .copied()
        .ok_or_else(|| Error::unsuitable("the data device has no whole block"))
}

impl Options {
    fn check(&self) -> Result<()> {
        for (name, size) in [("data", self.data_block), ("hash", self.hash_block)] {
            if !size.is_power_of_two() || !(512..=512 << 10).contains(&size) {
                return Err(Error::unsuitable(format!(
                    "a {name} block cannot have {size} bytes: a power of two from 512 to 524288"
                )));
            }
        }
        match self.salt.len() {
            0..=256 => Ok(()),
            more => Err(Error::unsuitable(format!(
                "a salt has at most 256 bytes, not {more}"
            ))),
        }
    }

    fn digests_in_block(&self) -> usize {
        self.hash_block as usize / DIGEST
    }

    /// The blocks of each level, the lowest first.
    fn levels(&self, data_blocks: u64) -> Vec<u64> {
        let mut counts = Vec::new();
        let mut below = data_blocks;
        while below > 1 {
            below = below.div_ceil(self.digests_in_block() as u64);
            counts.push(below);
        }
        counts
    }

    fn digest(&self, block: &[u8]) -> [u8; DIGEST] {
        let hash = Sha256::new().chain_update(&self.salt);
        hash.chain_update(block).finalize().into()
    }

    /// The digests of all data blocks. Those of zeros, most of a fresh disk, are taken once.
    fn of_data(&self, data: Part<'_>, blocks: u64) -> Result<Vec<[u8; DIGEST]>> {
        let size = self.data_block as usize;
        let of_zeros = self.digest(&vec![0; size]);
        let mut digests = Vec::new();
        let mut buffer = vec![0; PIECE.max(size)];
        let end = blocks * size as u64;
        let mut at = 0;
        while at < end {
            let length = (end - at).min(buffer.len() as u64);
            let piece = &mut buffer[..length as usize];
            data.image.read(piece, data.start + at)?;
            digests.extend(
                piece
                    .chunks(size)
                    .map(|block| match block.iter().all(|byte| *byte == 0) {
                        true => of_zeros,
                        false => self.digest(block),
                    }),
            );
            at += length;
        }
        Ok(digests)
    }

    /// The blocks of a level.
    fn padded(&self, digests: &[[u8; DIGEST]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in digests.chunks(self.digests_in_block()) {
            bytes.extend(block.iter().flatten());
            bytes.resize(bytes.len().next_multiple_of(self.hash_block as usize), 0);
        }
        bytes
    }

    fn superblock(&self, data_blocks: u64) -> Vec<u8> {
        Record::new(512)
            .bytes(0, b"verity\0\0")
            .le32(8, 1)
            .le32(12, 1)
            .bytes(16, self.uuid.as_bytes())
            .bytes(32, b"sha256")
            .le32(64, self.data_block)
            .le32(68, self.hash_block)
            .le64(72, data_blocks)
            .le16(80, self.salt.len() as u16)
            .bytes(88, &self.salt)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use super::*;

    /// What we and veritysetup make of data of `blocks` blocks.
    fn compare(blocks: u64, data_block: u32) {
        let options = Options {
            uuid: Uuid::from_u128(0x6e4ff95f_f662_45ee_a82a_bdf44a2d0b75),
            salt: vec![0xab; 32],
            data_block,
            hash_block: 4096,
        };
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, size| {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(dir.path().join(name))
                .unwrap();
            file.set_len(size).unwrap();
            file
        };
        let data = file("data", blocks * u64::from(data_block));
        data.write_all_at(b"begin", 0).unwrap();
        data.write_all_at(b"end", blocks * u64::from(data_block) - 3)
            .unwrap();
        let data = SparseFile::open(data).unwrap();
        let hashes = SparseFile::open(file("ours", 4 << 20)).unwrap();
        file("theirs", 4 << 20);
        let part = |image, size| Part {
            image,
            start: 0,
            size,
        };
        let root = format(part(&data, data.size()), part(&hashes, 4 << 20), &options).unwrap();
        let mut command = Command::new("veritysetup");
        command.args([
            "format",
            "data",
            "theirs",
            "--uuid",
            &options.uuid.to_string(),
            "--salt",
        ]);
        command.args([
            hex::encode(&options.salt),
            format!("--data-block-size={data_block}"),
        ]);
        let Ok(output) = command.current_dir(dir.path()).output() else {
            return println!("skipped: veritysetup is not installed");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(&hex::encode(root)),
            "{output:?}"
        );
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read("ours") == read("theirs"), "{blocks} blocks");
    }

    #[test]
    fn a_hash_tree_is_veritysetups_byte_for_byte() {
        for blocks in [1, 2, 128, 129, 2048, 20_000] {
            compare(blocks, 512);
        }
        compare(200, 4096);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 1 << 20).unwrap();
        let part = |size| Part {
            image: &image,
            start: 0,
            size,
        };
        let make = |data, hashes, data_block| {
            let options = Options {
                uuid: Uuid::nil(),
                salt: Vec::new(),
                data_block,
                hash_block: 4096,
            };
            format(part(data), part(hashes), &options)
        };
        assert!(make(1 << 20, 1 << 20, 500).is_err());
        assert!(make(100, 1 << 20, 512).is_err());
        let error = make(1 << 20, 72_000, 512).unwrap_err();
        assert!(matches!(error, Error::TooSmall { needed: 73_728, .. }), "{error}");
    }
}
