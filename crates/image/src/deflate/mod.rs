//! Raw deflate (RFC 1951) of one cluster of a qcow2 file, at twice the speed of the general libraries.
//!
//! A cluster is compressed by itself, readers have a window of 4 KiB only, and the whole input lies in memory: so positions
//! have 16 bits, the tables fit the processor's first cache, and how long a result gets is known before a bit of it is
//! written. There are no levels: a disk takes less than 3 % more than with zlib's default level and the same window.
//!
//! ```text
//! cluster → matches::parse: literals and matches, counted a part at a time
//!         → block::merge: neighbouring parts that one code suits
//!         → block::Block: the code of each, then all in this code
//! ```
//!
//! The result is a function of the input alone: no floating point, nothing left from the cluster before.

mod bits;
mod block;
mod matches;
mod prefix_code;
mod symbols;

use bits::Bits;
use block::Block;
use matches::{Found, INPUT, Matcher, PADDED};

/// A compressor with its tables and buffers, for one cluster after another.
#[derive(Debug)]
pub(crate) struct Deflater {
    input: Box<[u8; PADDED]>,
    matcher: Matcher,
    found: Found,
    output: Bits,
}

impl Deflater {
    pub(crate) fn new() -> Self {
        Self {
            input: Box::new([0; PADDED]),
            matcher: Matcher::new(),
            found: Found::default(),
            output: Bits::new(INPUT),
        }
    }

    /// `cluster`, of 64 KiB at most, compressed; `None` if that is no smaller.
    pub(crate) fn compress(&mut self, cluster: &[u8]) -> Option<&[u8]> {
        let length = cluster.len();
        self.input[..length].copy_from_slice(cluster);
        // matches look beyond the end before they are cut off there
        self.input[length..].fill(0);
        self.matcher.parse(&self.input, length, &mut self.found);
        let blocks = block::merge(&self.found.parts);
        self.output.clear();
        let (mut at, mut first) = (0, 0);
        for (number, part) in blocks.iter().enumerate() {
            let block = Block::new(part);
            if self.output.len() as u64 + block.bits() / 8 >= length as u64 {
                return None;
            }
            let sequences = &self.found.sequences[first..part.end];
            block.write(
                &mut self.output,
                number + 1 == blocks.len(),
                &self.input[at..],
                sequences,
            );
            at += part.bytes;
            first = part.end;
        }
        let output = self.output.finish();
        (output.len() < length).then_some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// Oracle: zlib.
    fn inflate(packed: &[u8], length: usize) -> Vec<u8> {
        let mut inflate = flate2::Decompress::new_with_window_bits(false, 12);
        let mut bytes = vec![0; length + 1];
        let status = inflate
            .decompress(packed, &mut bytes, flate2::FlushDecompress::Finish)
            .unwrap();
        assert_eq!(status, flate2::Status::StreamEnd);
        assert_eq!(inflate.total_in(), packed.len() as u64);
        bytes.truncate(inflate.total_out() as usize);
        bytes
    }

    /// Pieces of noise of `symbols` different bytes, of zeros, and of what was there before.
    fn mixed(seed: u64, length: usize) -> Vec<u8> {
        let mut next = noise(seed);
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < length {
            let piece = (next() % (1 << (next() % 14))) as usize + 1;
            match next() % 4 {
                0 => {
                    let symbols = 1 + next() % 256;
                    bytes.extend((0..piece).map(|_| (next() % symbols) as u8));
                }
                1 => bytes.resize(bytes.len() + piece, 0),
                _ => {
                    let back = 1 + next() as usize % (bytes.len() + 1);
                    let from = bytes.len().saturating_sub(back);
                    for at in from..from + piece.min(back) {
                        bytes.push(bytes.get(at).copied().unwrap_or(7));
                    }
                }
            }
        }
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn zlib_reads_back_what_was_packed() {
        let mut deflater = Deflater::new();
        let mut packed = 0;
        for seed in 1..400 {
            let length = match seed % 4 {
                0 => 1 + seed as usize * 97,
                _ => INPUT,
            };
            let bytes = mixed(seed, length);
            if let Some(result) = deflater.compress(&bytes) {
                assert!(inflate(result, length) == bytes, "seed {seed}");
                packed += 1;
            }
        }
        assert!(packed > 300, "{packed}");
    }

    #[test]
    fn extremes() {
        let mut deflater = Deflater::new();
        let mut next = noise(1);
        let random: Vec<u8> = (0..INPUT).map(|_| next() as u8).collect();
        assert!(deflater.compress(&random).is_none());
        assert!(deflater.compress(b"x").is_none());
        assert!(deflater.compress(b"").is_none());
        // nothing repeats, but few symbols are in use
        let digits: Vec<u8> = (0..INPUT).map(|_| b'0' + (next() % 10) as u8).collect();
        let packed = deflater.compress(&digits).unwrap();
        assert!(packed.len() < INPUT / 2, "{}", packed.len());
        assert!(inflate(packed, INPUT) == digits);
        let mut ones = vec![0; INPUT];
        ones[INPUT - 1] = 1;
        let packed = deflater.compress(&ones).unwrap();
        assert!(packed.len() < 120, "{}", packed.len());
        assert!(inflate(packed, INPUT) == ones);
        let short = vec![7; 20];
        assert!(inflate(deflater.compress(&short).unwrap(), 20) == short);
        // every symbol, the rare ones very rare: codes as long as they may get
        let mut skewed: Vec<u8> = Vec::new();
        for symbol in 0..16u8 {
            skewed.extend((0..1 << symbol).map(|i: u32| symbol * 16 + (i.count_ones() % 2) as u8));
        }
        skewed.truncate(INPUT);
        let packed = deflater.compress(&skewed).unwrap();
        assert!(inflate(packed, skewed.len()) == skewed);
    }

    #[test]
    fn a_result_does_not_depend_on_the_cluster_before() {
        let (one, other) = (mixed(5, INPUT), mixed(9, INPUT - 1000));
        let mut used = Deflater::new();
        used.compress(&one);
        let again = used.compress(&other).map(<[u8]>::to_vec);
        assert_eq!(Deflater::new().compress(&other).map(<[u8]>::to_vec), again);
    }
}
