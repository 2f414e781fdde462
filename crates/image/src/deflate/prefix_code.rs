//! Prefix codes of limited length (RFC 1951, 3.2.2), and what they cost.

/// A symbol's code, its first bit the lowest, and its length; 0: the symbol is not used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) length: u8,
}

/// No code is longer.
const LONGEST: usize = 15;

/// The code that lengths stand for.
pub(super) fn codes<const N: usize>(lengths: &[u8; N]) -> [Code; N] {
    let mut count = [0; LONGEST + 1];
    for length in lengths {
        count[usize::from(*length)] += 1;
    }
    count[0] = 0;
    let mut next = [0u32; LONGEST + 1];
    for length in 1..=LONGEST {
        next[length] = (next[length - 1] + count[length - 1]) << 1;
    }
    lengths.map(|length| {
        if length == 0 {
            return Code::default();
        }
        let code = &mut next[usize::from(length)];
        let bits = code.reverse_bits() >> (32 - u32::from(length));
        *code += 1;
        Code { bits, length }
    })
}

/// The lengths of a code in which symbols used `uses` times take little space, none longer than `most`.
///
/// Two symbols at least have a code: readers refuse a lone one. All uses together are less than 2²³.
pub(super) fn lengths<const N: usize>(uses: &[u32; N], most: usize) -> [u8; N] {
    let mut lengths = [0; N];
    // the rarest first, equal ones in the order of the symbols
    let mut leaves = [0; N];
    let mut used = 0;
    for (symbol, uses) in uses.iter().enumerate().filter(|(_, uses)| **uses > 0) {
        leaves[used] = uses << 9 | symbol as u32;
        used += 1;
    }
    let leaves = &mut leaves[..used];
    if used < 2 {
        let only = leaves.first().map_or(0, |leaf| (leaf & 0x1ff) as usize);
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return lengths;
    }
    leaves.sort_unstable();
    let mut count = depths::<N>(leaves);
    limit(&mut count, most);
    let mut symbols = leaves.iter().map(|leaf| (leaf & 0x1ff) as usize);
    for length in (1..=most).rev() {
        for symbol in symbols.by_ref().take(count[length]) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}

/// Deeper trees need more uses than there can be.
const DEEPEST: usize = 40;

/// How many leaves of Huffman's tree lie at each depth. Nodes come into being in the order of their weights: so there are two
/// queues, of leaves and of nodes, and the lighter head is the next.
fn depths<const N: usize>(leaves: &[u32]) -> [usize; DEEPEST] {
    let nodes = leaves.len() - 1;
    let mut weight = [0; N];
    let (mut parent_of_leaf, mut parent_of_node) = ([0; N], [0; N]);
    let (mut leaf, mut node) = (0, 0);
    for made in 0..nodes {
        for _ in 0..2 {
            let weighs = leaves.get(leaf).map(|leaf| leaf >> 9);
            match weighs {
                Some(weighs) if node == made || weighs <= weight[node] => {
                    weight[made] += weighs;
                    parent_of_leaf[leaf] = made;
                    leaf += 1;
                }
                _ => {
                    weight[made] += weight[node];
                    parent_of_node[node] = made;
                    node += 1;
                }
            }
        }
    }
    let mut depth = [0; N];
    for node in (0..nodes - 1).rev() {
        depth[node] = depth[parent_of_node[node]] + 1;
    }
    let mut count = [0; DEEPEST];
    for parent in &parent_of_leaf[..leaves.len()] {
        count[depth[*parent] + 1] += 1;
    }
    count
}

/// Shortens the codes longer than `most`, and makes room for them by lengthening others.
fn limit(count: &mut [usize; DEEPEST], most: usize) {
    for length in most + 1..DEEPEST {
        count[most] += std::mem::take(&mut count[length]);
    }
    // in units of the longest code's share
    let mut taken: usize = (1..=most).map(|length| count[length] << (most - length)).sum();
    while taken > 1 << most {
        // one of the longest moves beside a shorter one, which so becomes longer by a bit
        let Some(shorter) = (1..most).rev().find(|length| count[*length] > 0) else {
            return;
        };
        count[most] -= 1;
        count[shorter] -= 1;
        count[shorter + 1] += 2;
        taken -= 1;
    }
}

/// Binary digits of a logarithm behind the point.
const PRECISION: u32 = 10;
/// Logarithms of the numbers from 64 to 127, without their whole parts.
static FRACTIONS: [u32; 64] = fractions();

const fn fractions() -> [u32; 64] {
    let mut table = [0; 64];
    let mut index = 0;
    while index < 64 {
        // squaring a number doubles its logarithm: each time the next digit shows
        let mut number = (64 + index as u64) << 24;
        let mut digit = 0;
        while digit < PRECISION {
            number = (number * number) >> 30;
            table[index] <<= 1;
            if number >= 2 << 30 {
                number >>= 1;
                table[index] |= 1;
            }
            digit += 1;
        }
        index += 1;
    }
    table
}

/// The logarithm to base 2, in parts of 2⁻¹⁰: of integers, since floating point may differ among machines.
fn log2(number: u32) -> u32 {
    let whole = number.ilog2();
    let top = (u64::from(number) << 6 >> whole) as usize;
    (whole << PRECISION) + FRACTIONS[top - 64]
}

/// About how many bits symbols used so often take.
pub(super) fn entropy(uses: &[u32]) -> u64 {
    let all: u32 = uses.iter().sum();
    if all == 0 {
        return 0;
    }
    let of_all = log2(all);
    let used = uses.iter().filter(|uses| **uses > 0);
    used.map(|uses| u64::from(*uses) * u64::from(of_all.saturating_sub(log2(*uses))))
        .sum::<u64>()
        >> PRECISION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share<const N: usize>(lengths: &[u8; N]) -> u32 {
        lengths.iter().filter(|l| **l > 0).map(|l| 1 << (15 - l)).sum()
    }

    #[test]
    fn codes_are_complete_and_as_short_as_they_were_told() {
        // Fibonacci's numbers make the deepest tree
        let mut uses = [0; 30];
        (uses[0], uses[1]) = (1, 1);
        for n in 2..22 {
            uses[n] = uses[n - 1] + uses[n - 2];
        }
        for most in [7, 14, 15] {
            let lengths = lengths(&uses, most);
            assert_eq!(share(&lengths), 1 << 15, "{lengths:?}");
            assert_eq!(usize::from(*lengths.iter().max().unwrap()), most);
            assert!(lengths[..22].is_sorted_by(|a, b| a >= b), "{lengths:?}");
            assert_eq!(lengths[22..], [0; 8]);
        }
    }

    #[test]
    fn a_lone_symbol_has_company() {
        for only in [None, Some(0), Some(5)] {
            let mut uses = [0; 19];
            if let Some(only) = only {
                uses[only] = 9;
            }
            let lengths = lengths(&uses, 7);
            assert_eq!(lengths[only.unwrap_or(0)], 1);
            assert_eq!(share(&lengths), 1 << 15, "{lengths:?}");
        }
    }

    #[test]
    fn logarithms() {
        for number in [1, 2, 3, 63, 64, 100, 65_536, 70_000, u32::MAX] {
            let right = f64::from(number).log2() * 1024.0;
            assert!((right - f64::from(log2(number))).abs() < 25.0, "{number}");
        }
        assert_eq!(entropy(&[0, 0]), 0);
        assert_eq!(entropy(&[8, 8, 0]), 16);
    }
}
