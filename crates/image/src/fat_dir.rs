//! Names and directory entries of FAT. No I/O.

use std::collections::BTreeSet;

use crate::{Error, Result};

/// Bytes of an entry.
pub const ENTRY: usize = 32;
const LONG_UNITS: usize = 13;

pub const ATTRIBUTE_LABEL: u8 = 0x08;
pub const ATTRIBUTE_DIRECTORY: u8 = 0x10;
pub const ATTRIBUTE_FILE: u8 = 0x20;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Base and extension, padded with spaces.
    pub short: [u8; 11],
    /// The true name in UTF-16, where the short one does not say it.
    pub long: Option<Vec<u16>>,
}

/// The date and time in an entry: two-second steps, from 1980 on.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    date: u16,
    time: u16,
}

impl Name {
    /// The name's entries, long parts included.
    pub fn entries(&self) -> usize {
        1 + self
            .long
            .as_ref()
            .map_or(0, |long| long.len().div_ceil(LONG_UNITS))
    }
}

/// The short and long forms of all names of one directory, in their order.
///
/// Refuses names that FAT cannot hold, and two that differ only in case.
pub fn names(names: &[String]) -> Result<Vec<Name>> {
    let mut folded = BTreeSet::new();
    for name in names {
        let unfit = name.len() > 255
            || name.ends_with(['.', ' '])
            || name.chars().any(|c| c < ' ' || "\"*/:<>?\\|\x7f".contains(c));
        if unfit {
            return Err(Error::unsuitable(format!("FAT cannot hold the name `{name}`")));
        }
        if !folded.insert(fold(name)) {
            return Err(Error::unsuitable(format!(
                "FAT cannot hold `{name}` beside a name that differs only in case"
            )));
        }
    }
    // names that are short in upper case first: no shortened one takes their place, or is found in it
    let mut taken: BTreeSet<[u8; 11]> = folded.iter().filter_map(|name| exact(name)).collect();
    let made = names.iter().map(|name| match exact(name) {
        Some(short) => Name { short, long: None },
        None => Name {
            short: shortened(name, &mut taken),
            long: Some(name.encode_utf16().collect()),
        },
    });
    Ok(made.collect())
}

/// The name as readers compare it: in upper case, where that is a single character.
fn fold(name: &str) -> String {
    let upper = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    name.chars().map(upper).collect()
}

/// The entries of `name`, long parts first.
pub fn entry(name: &Name, attribute: u8, stamp: Stamp, cluster: u32, size: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.entries() * ENTRY);
    if let Some(long) = &name.long {
        let parts: Vec<_> = long.chunks(LONG_UNITS).collect();
        for (index, part) in parts.iter().enumerate().rev() {
            let last = index + 1 == parts.len();
            bytes.extend(long_entry(index, part, last, checksum(&name.short)));
        }
    }
    bytes.extend(short_entry(&name.short, attribute, stamp, cluster, size));
    bytes
}

/// The entry with the short name alone: of `.` and `..` and the label.
pub fn short_entry(short: &[u8; 11], attribute: u8, stamp: Stamp, cluster: u32, size: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY);
    bytes.extend(short);
    bytes.extend([attribute, 0, 0]);
    bytes.extend(stamp.time.to_le_bytes()); // made
    bytes.extend(stamp.date.to_le_bytes());
    bytes.extend(stamp.date.to_le_bytes()); // read
    bytes.extend(((cluster >> 16) as u16).to_le_bytes());
    bytes.extend(stamp.time.to_le_bytes()); // written
    bytes.extend(stamp.date.to_le_bytes());
    bytes.extend((cluster as u16).to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

fn long_entry(index: usize, part: &[u16], last: bool, checksum: u8) -> Vec<u8> {
    let mut units = part.to_vec();
    if units.len() < LONG_UNITS {
        units.push(0);
    }
    units.resize(LONG_UNITS, 0xffff);
    let unit_bytes = |range: std::ops::Range<usize>| units[range].iter().flat_map(|u| u.to_le_bytes());
    let mut bytes = vec![(index + 1) as u8 | if last { 0x40 } else { 0 }];
    bytes.extend(unit_bytes(0..5));
    bytes.extend([0x0f, 0, checksum]);
    bytes.extend(unit_bytes(5..11));
    bytes.extend([0, 0]);
    bytes.extend(unit_bytes(11..13));
    bytes
}

fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Whether a character may stand in a short name as it is.
fn plain(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "!#$%&'()-@^_`{}~".contains(c)
}

/// The short form of a name that needs no long one.
fn exact(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = !base.is_empty()
        && base.len() <= 8
        && extension.len() <= 3
        && (extension.is_empty() != name.contains('.'))
        && base.chars().chain(extension.chars()).all(plain);
    fits.then(|| pad(base, extension))
}

/// A short form `BASE~N.EXT` that is not taken, but by the name itself.
fn shortened(name: &str, taken: &mut BTreeSet<[u8; 11]>) -> [u8; 11] {
    let clean = |text: &str, length: usize| -> String {
        let kept = text.chars().filter(|c| *c != ' ' && *c != '.');
        kept.map(|c| c.to_ascii_uppercase())
            .map(|c| if plain(c) { c } else { '_' })
            .take(length)
            .collect()
    };
    let trimmed = name.trim_start_matches('.');
    let (base, extension) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
    let (base, extension) = (clean(base, 8), clean(extension, 3));
    let own = exact(&fold(name));
    let mut number = 1u32;
    loop {
        let tail = format!("~{number}");
        let room = 8 - tail.len();
        let short = pad(&format!("{}{tail}", &base[..base.len().min(room)]), &extension);
        if taken.insert(short) || own == Some(short) {
            return short;
        }
        number += 1;
    }
}

fn pad(base: &str, extension: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

impl Stamp {
    /// The time `seconds` after 1970 in UTC; what FAT cannot say becomes the nearest it can.
    pub fn new(seconds: i64) -> Self {
        let (first, last) = (315_532_800, 4_354_819_199); // 1980-01-01 to 2107-12-31
        let seconds = seconds.clamp(first, last);
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        Self {
            date: (((year - 1980) << 9) | (month << 5) | day) as u16,
            time: (((of_day / 3600) << 11) | ((of_day / 60 % 60) << 5) | ((of_day % 60) / 2)) as u16,
        }
    }
}

/// Year, month and day of a number of days after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // counted from the first of March of the year 0, so that the leap day comes last
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short_forms(list: &[&str]) -> Vec<String> {
        let list: Vec<_> = list.iter().map(|name| name.to_string()).collect();
        let names = names(&list).unwrap();
        names
            .iter()
            .map(|name| String::from_utf8_lossy(&name.short).into_owned())
            .collect()
    }

    #[test]
    fn short_names_are_unique() {
        assert_eq!(
            short_forms(&[
                "BOOTX64.EFI",
                "grub.cfg",
                "a long name.text",
                "a long nail.text",
                "ALONGN~1.TEX"
            ]),
            [
                "BOOTX64 EFI",
                "GRUB~1  CFG",
                "ALONGN~2TEX",
                "ALONGN~3TEX",
                "ALONGN~1TEX"
            ]
        );
        assert_eq!(short_forms(&["größe", ".hidden"]), ["GR__E~1    ", "HIDDEN~1   "]);
    }

    #[test]
    fn no_short_name_is_another_file() {
        let forms = short_forms(&["a long name.text", "alongn~1.tex", "Grub.cfg", "grub~1.CFG"]);
        assert_eq!(
            forms,
            ["ALONGN~2TEX", "ALONGN~1TEX", "GRUB~2  CFG", "GRUB~1~1CFG"]
        );
    }

    #[test]
    fn letters_without_an_upper_case_of_one_character_are_letters_of_their_own() {
        assert_eq!(
            short_forms(&["STRASSE", "straße"]),
            ["STRASSE    ", "STRA_E~1   "]
        );
    }

    #[test]
    fn what_fat_cannot_hold_is_refused() {
        for list in [
            vec!["a:b"],
            vec!["dot."],
            vec!["Grub", "grub"],
            vec!["Größe", "GRÖßE"],
        ] {
            let list: Vec<_> = list.into_iter().map(String::from).collect();
            assert!(names(&list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn times_are_told_in_utc() {
        // 2026-02-28 23:59:58
        let stamp = Stamp::new(1_772_323_198);
        assert_eq!(stamp.date, (46 << 9) | (2 << 5) | 28);
        assert_eq!(stamp.time, (23 << 11) | (59 << 5) | 29);
        assert_eq!(Stamp::new(0).date, (1 << 5) | 1);
    }
}
