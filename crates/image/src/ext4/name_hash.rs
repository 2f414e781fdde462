//! The hashes of names in directories with an index.
//!
//! As the kernel's `fs/ext4/hash.c` has them: "half MD4", a cut-down MD4 (RFC 1320), and TEA (Wheeler and Needham),
//! each over the name in pieces.

use crate::ext4::format::{Fs, u32_at};

const HALF_MD4: u8 = 1;
const TEA: u8 = 2;

/// Which hash, and whether its bytes count from -128.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    number: u8,
    is_signed: bool,
}

/// What entries are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash {
    /// Its lowest bit is 0.
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// The one of this file system, if it is known here.
    pub fn of(fs: &Fs) -> Option<Self> {
        const SIGNED: u32 = 1;
        const UNSIGNED: u32 = 2;
        let number = fs.superblock[0xfc];
        let flags = u32_at(&fs.superblock, 0x160);
        let is_known = matches!(number, HALF_MD4 | TEA) && flags & (SIGNED | UNSIGNED) != 0;
        is_known.then_some(Self {
            number,
            is_signed: flags & UNSIGNED == 0,
        })
    }

    /// How it is named in a directory.
    pub fn on_disk(self) -> u8 {
        self.number
    }
}

/// The hash of a name; a `seed` of zeros stands for the usual one.
pub fn hash(version: Version, seed: [u32; 4], name: &[u8]) -> Hash {
    let mut state = match seed {
        [0, 0, 0, 0] => [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
        seed => seed,
    };
    let size = if version.number == HALF_MD4 { 32 } else { 16 };
    let mut rest = name;
    while !rest.is_empty() {
        let words = words(rest, size / 4, version.is_signed);
        match version.number {
            HALF_MD4 => half_md4(&mut state, &words),
            _ => tea(&mut state, &words),
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    let (major, minor) = match version.number {
        HALF_MD4 => (state[1], state[2]),
        _ => (state[0], state[1]),
    };
    // the highest one means the end of the directory
    let major = match major & !1 {
        0xffff_fffe => 0xffff_fffc,
        major => major,
    };
    Hash { major, minor }
}

/// The first bytes of a name as so many numbers; what is missing is made of the name's length.
fn words(name: &[u8], count: usize, is_signed: bool) -> [u32; 8] {
    let length = name.len() as u32;
    let padding = length | length << 8;
    let padding = padding | padding << 16;
    let mut words = [padding; 8];
    let byte = |byte: &u8| match is_signed {
        true => i32::from(*byte as i8) as u32,
        false => u32::from(*byte),
    };
    for (word, bytes) in words.iter_mut().take(count).zip(name.chunks(4)) {
        *word = bytes
            .iter()
            .fold(padding, |word, next| byte(next).wrapping_add(word << 8));
    }
    words
}

fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    const ROUNDS: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ed9_eba1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in ROUNDS {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(words[word].wrapping_add(constant));
            (a, b, c, d) = (d, sum.rotate_left(shifts[step % 4]), b, c);
        }
    }
    for (state, change) in state.iter_mut().zip([a, b, c, d]) {
        *state = state.wrapping_add(change);
    }
}

fn tea(state: &mut [u32; 4], words: &[u32; 8]) {
    const DELTA: u32 = 0x9e37_79b9;
    let [a, b, c, d, ..] = *words;
    let (mut left, mut right, mut sum) = (state[0], state[1], 0u32);
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        let mix = |half: u32, (low, high): (u32, u32)| {
            (half << 4).wrapping_add(low) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(high)
        };
        left = left.wrapping_add(mix(right, (a, b)));
        right = right.wrapping_add(mix(left, (c, d)));
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}
