//! A block: a code, and symbols in it (RFC 1951, 3.2.3 to 3.2.7).

use super::bits::Bits;
use super::matches::{Part, Sequence};
use super::prefix_code::{self, Code, codes};
use super::symbols::{self, DISTANCES, END, LITERALS, LONGEST, SHORTEST};

/// What a code of its own costs about, in bits.
const CODE: u64 = 500;
/// Four literals and what is left of a byte fit into a word.
const LONGEST_LITERAL: usize = 14;
const LONGEST_DISTANCE: usize = 15;

/// Joins neighbouring parts for which a code of its own would cost more than it saves.
pub(super) fn merge(parts: &[Part]) -> Vec<Part> {
    let mut merged: Vec<(Part, u64)> = Vec::with_capacity(parts.len());
    for part in parts {
        let cost = entropy(part);
        if let Some((last, last_cost)) = merged.last_mut() {
            let together = joined(last, part);
            let joint_cost = entropy(&together);
            if joint_cost <= *last_cost + cost + CODE {
                (*last, *last_cost) = (together, joint_cost);
                continue;
            }
        }
        merged.push((part.clone(), cost));
    }
    merged.into_iter().map(|(part, _)| part).collect()
}

fn entropy(part: &Part) -> u64 {
    prefix_code::entropy(&part.literals) + prefix_code::entropy(&part.distances)
}

fn joined(one: &Part, next: &Part) -> Part {
    let mut all = one.clone();
    all.end = next.end;
    all.bytes += next.bytes;
    for (sum, more) in all.literals.iter_mut().zip(&next.literals) {
        *sum += more;
    }
    for (sum, more) in all.distances.iter_mut().zip(&next.distances) {
        *sum += more;
    }
    all.literals[END] = 1;
    all
}

/// How a part is written.
#[derive(Debug)]
pub(super) struct Block {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
    /// The code as it is told; `None`: it is the one that every reader knows.
    told: Option<Told>,
    bits: u64,
}

impl Block {
    /// The way that takes the fewest bits.
    pub(super) fn new(part: &Part) -> Self {
        let (literals, distances) = fixed();
        let fixed = Self {
            bits: 3 + size(part, &literals, &distances),
            literals,
            distances,
            told: None,
        };
        let literals = prefix_code::lengths(&part.literals, LONGEST_LITERAL);
        let distances = prefix_code::lengths(&part.distances, LONGEST_DISTANCE);
        let told = Told::new(&literals, &distances);
        let bits = 3 + told.bits() + size(part, &literals, &distances);
        if fixed.bits <= bits {
            return fixed;
        }
        Self {
            literals,
            distances,
            told: Some(told),
            bits,
        }
    }

    /// How many bits it takes.
    pub(super) fn bits(&self) -> u64 {
        self.bits
    }

    /// Writes it; `input` begins with its bytes.
    pub(super) fn write(&self, output: &mut Bits, last: bool, mut input: &[u8], sequences: &[Sequence]) {
        output.add(u32::from(last), 1);
        output.add(if self.told.is_some() { 2 } else { 1 }, 2);
        if let Some(told) = &self.told {
            told.write(output);
        }
        output.flush();
        let (literals, distances) = (codes(&self.literals), codes(&self.distances));
        let lengths = whole_lengths(&literals);
        for sequence in sequences {
            let (run, rest) = input.split_at(sequence.literals as usize);
            let mut fours = run.chunks_exact(4);
            for four in &mut fours {
                for byte in four {
                    put(output, literals[usize::from(*byte)]);
                }
                output.flush();
            }
            for byte in fours.remainder() {
                put(output, literals[usize::from(*byte)]);
            }
            output.flush();
            if sequence.length == 0 {
                break;
            }
            put(output, lengths[usize::from(sequence.length)]);
            let symbol = symbols::of_distance(usize::from(sequence.distance)) % DISTANCES;
            put(output, distances[symbol]);
            let extra = symbols::extra_of_distance(symbol);
            output.add(u32::from(sequence.distance - 1) & ((1 << extra) - 1), extra);
            output.flush();
            input = &rest[usize::from(sequence.length)..];
        }
        put(output, literals[END]);
        output.flush();
    }
}

#[inline(always)]
fn put(output: &mut Bits, code: Code) {
    output.add(code.bits, code.length);
}

/// The codes of lengths, each with what follows the symbol.
fn whole_lengths(literals: &[Code; LITERALS]) -> [Code; LONGEST + 1] {
    let mut whole = [Code::default(); LONGEST + 1];
    for (length, whole) in whole.iter_mut().enumerate().skip(SHORTEST) {
        let Code { bits, length: own } = literals[symbols::of_length(length)];
        let (rest, extra) = symbols::rest_of_length(length);
        *whole = Code {
            bits: bits | rest << own,
            length: own + extra,
        };
    }
    whole
}

/// How many bits the symbols of a part take in a code of these lengths.
fn size(part: &Part, literals: &[u8; LITERALS], distances: &[u8; DISTANCES]) -> u64 {
    let mut bits = 0;
    for (symbol, (uses, length)) in part.literals.iter().zip(literals).enumerate() {
        bits += u64::from(*uses) * u64::from(length + symbols::extra_of_literal(symbol));
    }
    for (symbol, (uses, length)) in part.distances.iter().zip(distances).enumerate() {
        bits += u64::from(*uses) * u64::from(length + symbols::extra_of_distance(symbol));
    }
    bits
}

/// The code that is not told.
fn fixed() -> ([u8; LITERALS], [u8; DISTANCES]) {
    let mut literals = [8; LITERALS];
    literals[144..END].fill(9);
    literals[END..280].fill(7);
    (literals, [5; DISTANCES])
}

/// In this order the lengths of the code of lengths are told: those that are seldom used come last.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Symbols of the code of lengths: the length before again, and zeros, a few or many.
const AGAIN: u8 = 16;
const ZEROS: u8 = 17;
const MANY_ZEROS: u8 = 18;

/// A code, told by its lengths: they are compressed themselves.
#[derive(Debug)]
struct Told {
    literals: usize,
    distances: usize,
    /// Symbols, and what follows each.
    items: Vec<(u8, u8)>,
    lengths: [u8; 19],
}

impl Told {
    fn new(literals: &[u8; LITERALS], distances: &[u8; DISTANCES]) -> Self {
        let literals = up_to_last(&literals[..286], END + 1);
        let distances = up_to_last(&distances[..30], 1);
        let mut items = Vec::with_capacity(literals.len() + distances.len());
        let all: Vec<u8> = [literals, distances].concat();
        for same in all.chunk_by(|a, b| a == b) {
            let (length, mut left) = (same[0], same.len());
            if length == 0 {
                while left >= 11 {
                    let many = left.min(138);
                    items.push((MANY_ZEROS, (many - 11) as u8));
                    left -= many;
                }
                if left >= 3 {
                    items.push((ZEROS, (left - 3) as u8));
                    left = 0;
                }
            } else {
                items.push((length, 0));
                left -= 1;
                while left >= 3 {
                    let some = left.min(6);
                    items.push((AGAIN, (some - 3) as u8));
                    left -= some;
                }
            }
            items.extend(std::iter::repeat_n((length, 0), left));
        }
        let mut uses = [0; 19];
        for (symbol, _) in &items {
            uses[usize::from(*symbol)] += 1;
        }
        Self {
            literals: literals.len(),
            distances: distances.len(),
            lengths: prefix_code::lengths(&uses, 7),
            items,
        }
    }

    /// How many lengths of the code of lengths are told.
    fn told(&self) -> usize {
        let last = ORDER.iter().rposition(|symbol| self.lengths[*symbol] > 0);
        last.map_or(0, |last| last + 1).max(4)
    }

    fn bits(&self) -> u64 {
        let items = self.items.iter();
        let items = items.map(|(symbol, _)| u64::from(self.lengths[usize::from(*symbol)] + extra(*symbol)));
        14 + 3 * self.told() as u64 + items.sum::<u64>()
    }

    fn write(&self, output: &mut Bits) {
        output.add((self.literals - 257) as u32, 5);
        output.add((self.distances - 1) as u32, 5);
        output.add((self.told() - 4) as u32, 4);
        output.flush();
        for symbol in &ORDER[..self.told()] {
            output.add(u32::from(self.lengths[*symbol]), 3);
            output.flush();
        }
        let codes = codes(&self.lengths);
        for (symbol, rest) in &self.items {
            put(output, codes[usize::from(*symbol)]);
            output.add(u32::from(*rest), extra(*symbol));
            output.flush();
        }
    }
}

/// How many bits follow a symbol of the code of lengths.
fn extra(symbol: u8) -> u8 {
    match symbol {
        AGAIN => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// Without the zeros at the end, but `least` of them.
fn up_to_last(lengths: &[u8], least: usize) -> &[u8] {
    let used = lengths.iter().rposition(|length| *length > 0);
    &lengths[..used.map_or(0, |last| last + 1).max(least)]
}
