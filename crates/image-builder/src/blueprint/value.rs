//! Values that a blueprint may write in more than one way, or that not every text or number is.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A size in bytes: a number, or a text such as `20 GiB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Permission bits: a text of octal digits, or their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// The highest id that a file in a tree can belong to.
const HIGHEST: u64 = 65_535;

/// The longest name of a host: `HOST_NAME_MAX` of Linux.
const LONGEST: usize = 64;

/// The id of a user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub u32);

/// An owner: a name or an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Id(Id),
    Name(String),
}

impl Bytes {
    /// Reads `2147483648`, `20 GiB`, `500MB`, `10G` (a bare letter is a power of 1024, as in `truncate`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" | "K" | "k" => 1 << 10,
            "MiB" | "M" => 1 << 20,
            "GiB" | "G" => 1 << 30,
            "TiB" | "T" => 1 << 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(8));
        let bits = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten()?;
        Self::of(u64::from(bits))
    }

    fn of(bits: u64) -> Option<Self> {
        u32::try_from(bits).ok().filter(|bits| *bits <= 0o7777).map(Self)
    }

    /// As chmod takes it.
    pub fn octal(self) -> String {
        format!("{:04o}", self.0)
    }
}

impl Id {
    fn of(number: u64) -> Option<Self> {
        let number = Some(number).filter(|number| *number <= HIGHEST)?;
        u32::try_from(number).ok().map(Self)
    }
}

/// A value that is a number or a text.
struct Either<T> {
    expecting: &'static str,
    number: fn(u64) -> Option<T>,
    text: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "a size in bytes or with a unit, such as \"20 GiB\"",
            number: |number| Some(Self(number)),
            text: Self::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "permissions in octal, such as \"0644\"",
            number: Self::of,
            text: Self::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "an id from 0 to 65535",
            number: Self::of,
            text: |_| None,
        })
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "a name or an id from 0 to 65535",
            number: |number| Id::of(number).map(Self::Id),
            text: |text| (!text.is_empty()).then(|| Self::Name(text.to_owned())),
        })
    }
}

/// The name of the machine, as systemd takes it.
pub fn hostname<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        letters && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let good = |name: &str| name.len() <= LONGEST && name.split('.').all(label);
    let expecting = "a host name: letters, digits and hyphens (not at an end), labels separated by dots, at most \
                     64 characters";
    text_that(from, good, expecting)
}

/// What describes a user.
pub fn description<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    text_that(from, is_field, "a description without colons and line breaks")
}

/// A home directory; the empty one is none.
pub fn home<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expecting = "a home directory: an absolute path without colons and line breaks";
    text_that(from, is_path_field, expecting)
}

/// A login shell.
pub fn shell<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expecting = "a shell: an absolute path without colons and line breaks";
    text_that(from, is_path_field, expecting)
}

/// Whether a text can be a field of `/etc/passwd`.
fn is_field(text: &str) -> bool {
    !text.contains([':', '\n'])
}

fn is_path_field(text: &str) -> bool {
    is_field(text) && (text.is_empty() || text.starts_with('/'))
}

fn text_that<'de, D: Deserializer<'de>>(
    from: D,
    good: impl Fn(&str) -> bool,
    expecting: &str,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    match text.as_deref().filter(|text| !good(text)) {
        Some(text) => Err(D::Error::invalid_value(Unexpected::Str(text), &expecting)),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let bytes = |text| Bytes::parse(text).map(|bytes| bytes.0);
        assert_eq!(bytes("20 GiB"), Some(20 << 30));
        assert_eq!(bytes("10G"), Some(10 << 30));
        assert_eq!(bytes("500MB"), Some(500_000_000));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("many"), None);
        assert_eq!(bytes("99999999999 TiB"), None);
    }

    #[test]
    fn modes_are_octal_texts_or_numbers() {
        assert_eq!(Mode::parse("0644"), Some(Mode(0o644)));
        assert_eq!(Mode::parse("1777").unwrap().octal(), "1777");
        assert_eq!(Mode::parse("+644"), None);
        assert_eq!(Mode::parse("888"), None);
        assert_eq!(Mode::of(0o17777), None);
    }
}
