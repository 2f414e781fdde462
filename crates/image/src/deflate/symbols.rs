//! Deflate's symbols for lengths and distances (RFC 1951, 3.2.5).

/// Symbols for literals, the end of a block and lengths; two are never used.
pub(super) const LITERALS: usize = 288;
/// Symbols for distances, and two that are never used.
pub(super) const DISTANCES: usize = 32;
pub(super) const END: usize = 256;
pub(super) const SHORTEST: usize = 3;
pub(super) const LONGEST: usize = 258;

const LENGTHS: usize = 29;
/// The first length of each symbol above [`END`].
const LENGTH_BASE: [u16; LENGTHS] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_EXTRA: [u8; LENGTHS] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
static LENGTH_INDEX: [u8; LONGEST + 1] = length_index();

const fn length_index() -> [u8; LONGEST + 1] {
    let mut table = [0; LONGEST + 1];
    let mut index = 0;
    while index < LENGTHS {
        // the longest one has a symbol of its own, though the symbol before could tell it
        let mut length = LENGTH_BASE[index] as usize;
        while length <= LONGEST {
            table[length] = index as u8;
            length += 1;
        }
        index += 1;
    }
    table
}

/// The symbol of a length.
#[inline(always)]
pub(super) fn of_length(length: usize) -> usize {
    END + 1 + usize::from(LENGTH_INDEX[length])
}

/// What follows the symbol of a length: a number, and in how many bits.
pub(super) fn rest_of_length(length: usize) -> (u32, u8) {
    let index = usize::from(LENGTH_INDEX[length]);
    (
        (length - usize::from(LENGTH_BASE[index])) as u32,
        LENGTH_EXTRA[index],
    )
}

/// How many bits follow a literal or the symbol of a length.
pub(super) fn extra_of_literal(symbol: usize) -> u8 {
    match symbol.checked_sub(END + 1) {
        Some(index) if index < LENGTHS => LENGTH_EXTRA[index],
        _ => 0,
    }
}

/// The symbol of a distance, which begins at 1.
#[inline(always)]
pub(super) fn of_distance(distance: usize) -> usize {
    let distance = (distance - 1) as u32;
    if distance < 4 {
        return distance as usize;
    }
    let log = distance.ilog2();
    (2 * log + (distance >> (log - 1) & 1)) as usize
}

/// How many bits follow the symbol of a distance: the lowest ones of the distance less 1.
#[inline(always)]
pub(super) fn extra_of_distance(symbol: usize) -> u8 {
    (symbol / 2).saturating_sub(1) as u8
}
