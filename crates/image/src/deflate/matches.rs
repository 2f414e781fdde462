//! What repeats: a cluster as literals and matches.
//!
//! Each position is looked up by its next four bytes in a table of the last two positions with the same hash; the longer
//! match is taken at once. A table of the last four would gain 1 % for twice the time.

use super::symbols::{self, DISTANCES, END, LITERALS, LONGEST};

/// The longest input.
pub(super) const INPUT: usize = 1 << 16;
/// The input's buffer: reading a match past the end stays inside.
pub(super) const PADDED: usize = INPUT + LONGEST + 14;
/// No reader need look further back.
const WINDOW: usize = 1 << 12;
/// A table of 16 KiB.
const HASH_BITS: u32 = 12;
/// The last positions are not looked up: the four bytes there are not all input.
const TAIL: usize = 4;
/// Bytes whose symbols are counted together.
const PART: usize = 16 << 10;
/// Where nothing was found for so many bytes (as a power of two), the search goes in larger steps.
const PATIENCE: u32 = 9;

/// Literals, and the match behind them; the last of all has none (length 0).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) literals: u32,
    pub(super) length: u16,
    pub(super) distance: u16,
}

/// How often each symbol is used in a stretch of the input.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The number of the first sequence behind it.
    pub(super) end: usize,
    /// The input's bytes.
    pub(super) bytes: usize,
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

impl Part {
    fn new() -> Self {
        let mut part = Self {
            end: 0,
            bytes: 0,
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
        };
        part.literals[END] = 1;
        part
    }
}

/// What is known of an input.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sequences: Vec<Sequence>,
    pub(super) parts: Vec<Part>,
}

/// The table of positions.
#[derive(Debug)]
pub(super) struct Matcher {
    /// The last position with this hash in the lower half, the one before in the upper. What is no position yet is taken for
    /// the first one: it is compared before it counts.
    table: Box<[u32; 1 << HASH_BITS]>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self {
            table: Box::new([0; 1 << HASH_BITS]),
        }
    }

    /// Parses the first `length` bytes of `input`, behind which there are zeros.
    pub(super) fn parse(&mut self, input: &[u8; PADDED], length: usize, found: &mut Found) {
        let Found { sequences, parts } = found;
        sequences.clear();
        parts.clear();
        let table = &mut *self.table;
        table.fill(0);
        let mut part = Part::new();
        let limit = length.saturating_sub(TAIL);
        // the next byte to look at; where the literals and the part begin
        let (mut at, mut from, mut begin) = (0, 0, 0);
        while at < limit {
            let word = word(input, at);
            let entry = &mut table[hash(word)];
            let (near, far) = ((*entry & 0xffff) as usize, (*entry >> 16) as usize);
            *entry = *entry << 16 | at as u32;
            let matches = |other| is_match(input, word, other, at);
            let (near_matches, far_matches) = (matches(near), matches(far));
            if !(near_matches | far_matches) {
                at += 1 + ((at - from) >> PATIENCE);
                continue;
            }
            let mut best = if near_matches { common(input, near, at) } else { 0 };
            let mut distance = at - near;
            if far_matches {
                let other = common(input, far, at);
                if other > best {
                    (best, distance) = (other, at - far);
                }
            }
            let best = best.min(length - at);
            count(&mut part.literals, &input[from..at]);
            part.literals[symbols::of_length(best)] += 1;
            part.distances[symbols::of_distance(distance) % DISTANCES] += 1;
            sequences.push(Sequence {
                literals: (at - from) as u32,
                length: best as u16,
                distance: distance as u16,
            });
            let end = at + best;
            for inner in at + 1..end.min(limit) {
                let entry = &mut table[hash(self::word(input, inner))];
                *entry = *entry << 16 | inner as u32;
            }
            (at, from) = (end, end);
            if end - begin >= PART && end < length {
                (part.end, part.bytes) = (sequences.len(), end - begin);
                parts.push(std::mem::replace(&mut part, Part::new()));
                begin = end;
            }
        }
        count(&mut part.literals, &input[from..length]);
        sequences.push(Sequence {
            literals: (length - from) as u32,
            length: 0,
            distance: 0,
        });
        (part.end, part.bytes) = (sequences.len(), length - begin);
        parts.push(part);
    }
}

fn count(uses: &mut [u32; LITERALS], literals: &[u8]) {
    for byte in literals {
        uses[usize::from(*byte)] += 1;
    }
}

/// The four bytes at a position.
#[inline(always)]
fn word(input: &[u8; PADDED], at: usize) -> u32 {
    // positions have 16 bits: so the compiler knows that they lie in the buffer
    let at = usize::from(at as u16);
    u32::from_le_bytes([input[at], input[at + 1], input[at + 2], input[at + 3]])
}

/// A multiplicative hash.
#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

#[inline(always)]
fn is_match(input: &[u8; PADDED], word: u32, other: usize, at: usize) -> bool {
    self::word(input, other) == word && at.wrapping_sub(other).wrapping_sub(1) < WINDOW
}

/// How many bytes are the same from two positions on, of which the first four are; at most [`LONGEST`].
#[inline(always)]
fn common(input: &[u8; PADDED], one: usize, other: usize) -> usize {
    let (one, other) = (usize::from(one as u16), usize::from(other as u16));
    let eight = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&input[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let mut length = 4;
    while length < LONGEST {
        let differ = eight(one + length) ^ eight(other + length);
        if differ != 0 {
            return (length + (differ.trailing_zeros() / 8) as usize).min(LONGEST);
        }
        length += 8;
    }
    LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// A reader that holds no more than its window must understand it; zlib itself does not notice.
    #[test]
    fn nothing_is_further_back_than_the_window() {
        let mut next = noise(3);
        let piece: Vec<u8> = (0..WINDOW + 1).map(|_| next() as u8).collect();
        let mut furthest = 0;
        for back in [WINDOW - 1, WINDOW, WINDOW + 1] {
            let mut input = Box::new([0; PADDED]);
            for (at, byte) in input[..INPUT].iter_mut().enumerate() {
                *byte = piece[at % back];
            }
            let mut found = Found::default();
            Matcher::new().parse(&input, INPUT, &mut found);
            let most = found
                .sequences
                .iter()
                .map(|sequence| usize::from(sequence.distance))
                .max();
            assert!(most <= Some(WINDOW), "{most:?}");
            furthest = furthest.max(most.unwrap_or_default());
            let bytes: usize = found
                .sequences
                .iter()
                .map(|sequence| sequence.literals as usize + usize::from(sequence.length))
                .sum();
            assert_eq!(bytes, INPUT);
            assert_eq!(found.parts.iter().map(|part| part.bytes).sum::<usize>(), INPUT);
        }
        assert_eq!(furthest, WINDOW);
    }
}
