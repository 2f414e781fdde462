//! What stands for the content of a large file: the SHA-256 over its length and the digests of its pieces.
//!
//! ```text
//! SHA-256("osbuild pieces 1\n"  length in 8 bytes, little-endian  SHA-256 of each MiB in order, the last one may be less)
//! ```
//!
//! A disk image is mostly holes, and each stage that writes to it has it looked at again. One digest over all would be
//! taken over all those zeros each time, on one core; here a piece without data costs nothing, and pieces are shared out.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use direct::{Reader, cached};
use sha2::{Digest, Sha256};

use super::GoOn;
use super::hash::{Holes, hash_range};
use crate::Result;

/// Files of so many bytes are large.
pub(super) const LARGE: u64 = 64 << 20;
const PIECE: u64 = 1 << 20;
/// What one thread takes at a time.
const STRETCH: u64 = 8 * PIECE;

/// The digests of the pieces from this one on.
#[derive(Debug)]
pub(super) struct Pieces {
    first: u64,
    digests: Vec<[u8; 32]>,
}

/// The stretches of a file of `size` bytes that have data. They begin and end between pieces.
pub(super) fn stretches(file: &File, size: u64) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut holes = Holes::of(file);
    let mut at = 0;
    while at < size {
        let hole = holes.length_at(at);
        if hole >= PIECE {
            at += hole / PIECE * PIECE;
            continue;
        }
        let end = (at + STRETCH).min(size);
        found.push(at..end);
        at = end;
    }
    found
}

/// Hashes the pieces of a stretch. What of it is not in the page cache does not enter it.
pub(super) fn hash_stretch(file: &File, path: &Path, stretch: Range<u64>, go_on: GoOn<'_>) -> Result<Pieces> {
    let mut holes = Holes::of(file);
    let data = stretch.end - stretch.start;
    let file = match cached(file, stretch.clone()) >= data / 2 {
        true => Reader::plain(file),
        false => Reader::new(file),
    };
    let mut digests = Vec::new();
    for start in stretch.clone().step_by(PIECE as usize) {
        let end = (start + PIECE).min(stretch.end);
        digests.push(match holes.length_at(start) >= end - start {
            true => zeros(end - start),
            false => {
                let mut hash = Sha256::new();
                hash_range(&file, path, start..end, &mut hash, go_on)?;
                hash.finalize().into()
            }
        });
    }
    Ok(Pieces {
        first: stretch.start / PIECE,
        digests,
    })
}

/// The digest of a file of `size` bytes that has these pieces, in any order, and zeros for the rest.
pub(super) fn join(size: u64, all: &[Pieces]) -> [u8; 32] {
    let count = size.div_ceil(PIECE);
    let mut digests = vec![zeros(PIECE); count as usize];
    if !size.is_multiple_of(PIECE)
        && let Some(last) = digests.last_mut()
    {
        *last = zeros(size % PIECE);
    }
    for pieces in all {
        for (place, digest) in digests
            .iter_mut()
            .skip(pieces.first as usize)
            .zip(&pieces.digests)
        {
            *place = *digest;
        }
    }
    let mut hash = Sha256::new();
    hash.update(b"osbuild pieces 1\n");
    hash.update(size.to_le_bytes());
    digests.iter().for_each(|digest| hash.update(digest));
    hash.finalize().into()
}

fn zeros(length: u64) -> [u8; 32] {
    static PIECE_OF_ZEROS: OnceLock<[u8; 32]> = OnceLock::new();
    let hash = |length: u64| Sha256::digest(vec![0; length as usize]).into();
    match length {
        PIECE => *PIECE_OF_ZEROS.get_or_init(|| hash(PIECE)),
        other => hash(other),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn digest(file: &File) -> [u8; 32] {
        let size = file.metadata().unwrap().len();
        let hash = |stretch| hash_stretch(file, Path::new("x"), stretch, &|| true).unwrap();
        let all: Vec<Pieces> = stretches(file, size).into_iter().rev().map(hash).collect();
        join(size, &all)
    }

    /// As the format says it, over all bytes.
    fn plain(content: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"osbuild pieces 1\n");
        hash.update((content.len() as u64).to_le_bytes());
        for piece in content.chunks(1 << 20) {
            hash.update(Sha256::digest(piece));
        }
        hash.finalize().into()
    }

    #[test]
    fn holes_and_zeros_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let megabyte = 1 << 20;
        for (number, (size, data)) in [
            (70 * megabyte, &[][..]),
            (
                70 * megabyte + 17,
                &[(0, 10), (33 * megabyte - 5, 10), (70 * megabyte + 16, 1)],
            ),
            (64 * megabyte, &[(5 * megabyte, 40 * megabyte)]),
        ]
        .into_iter()
        .enumerate()
        {
            let path = dir.path().join(number.to_string());
            let sparse = File::create_new(&path).unwrap();
            sparse.set_len(size as u64).unwrap();
            for (at, length) in data {
                sparse.write_all_at(&vec![7; *length], *at as u64).unwrap();
            }
            let content = std::fs::read(&path).unwrap();
            let whole = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path.with_extension("whole"));
            let whole = whole.unwrap();
            whole.write_all_at(&content, 0).unwrap();
            let sparse = File::open(&path).unwrap();
            assert_eq!(digest(&sparse), plain(&content), "{data:?}");
            assert_eq!(digest(&whole), plain(&content), "{data:?}");
        }
    }
}
