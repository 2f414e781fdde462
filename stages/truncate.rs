//! Make a file as long as it is to be.
//!
//! One that is not there is made. What is added is zeros, and takes no space; what is cut off is lost.
//!
//! `size` is a number of bytes, perhaps with a unit (`K`, `KiB`, `M`, …: powers of 1024; `KB`, `MB`, …: powers of 1000).
//! A sign before it counts from the present size (`+`, `-`), `<` makes it at most, `>` at least that long, `/` rounds down
//! and `%` up to a multiple: as truncate(1) has it.

use module::{Args, Context, Result, bail, ensure};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.truncate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    filename: String,
    /// Its new size.
    size: String,
}

module::stage! { file: "truncate.rs", name: "org.osbuild.truncate", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let Options { filename, size } = &args.options;
    let wanted = Size::parse(size)?;
    let fd = args.tree.open_at(
        filename.trim_start_matches('/'),
        OFlags::WRONLY | OFlags::CREATE,
        0o666,
    )?;
    let file = std::fs::File::from(fd);
    let now = file.metadata()?.len();
    let new = wanted
        .of(now)
        .with_context(|| format!("`size` is `{size}`, the file has {now} bytes"))?;
    file.set_len(new)
        .with_context(|| format!("cannot make {filename} {new} bytes long"))
}

/// A size as truncate(1) takes it.
struct Size {
    sign: Option<char>,
    bytes: u64,
}

impl Size {
    fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim_start();
        let sign = trimmed.chars().next().filter(|c| "+-<>/%".contains(*c));
        let rest = trimmed[sign.map_or(0, char::len_utf8)..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = unit(&rest[end..]).with_context(|| format!("`size` is no size: `{text}`"))?;
        // a unit alone is one of it
        let number = if end == 0 && !rest.is_empty() {
            1
        } else {
            rest[..end].parse::<u64>()?
        };
        let bytes = number
            .checked_mul(unit)
            .filter(|bytes| i64::try_from(*bytes).is_ok());
        let bytes = bytes.with_context(|| format!("no file is as long as `{text}`"))?;
        Ok(Self { sign, bytes })
    }

    /// The size of a file that has `now` bytes.
    fn of(&self, now: u64) -> Result<u64> {
        let Self { sign, bytes } = *self;
        ensure!(
            bytes > 0 || !matches!(sign, Some('/' | '%')),
            "nothing is a multiple of 0"
        );
        let new = match sign {
            None => Some(bytes),
            Some('+') => now.checked_add(bytes),
            Some('-') => Some(now.saturating_sub(bytes)),
            Some('<') => Some(now.min(bytes)),
            Some('>') => Some(now.max(bytes)),
            Some('/') => Some(now / bytes * bytes),
            Some('%') => now.checked_next_multiple_of(bytes),
            Some(_) => None,
        };
        match new.filter(|new| i64::try_from(*new).is_ok()) {
            Some(new) => Ok(new),
            None => bail!("no file can be that long"),
        }
    }
}

fn unit(text: &str) -> Option<u64> {
    let (letter, rest) = match text.chars().next() {
        None => return Some(1),
        Some(letter) => (letter, &text[letter.len_utf8()..]),
    };
    let power = "KMGTPE".find(letter.to_ascii_uppercase())? as u32 + 1;
    match rest {
        "" | "iB" => 1024u64.checked_pow(power),
        "B" => 1000u64.checked_pow(power),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_truncate_takes_them() {
        let of = |text: &str, now| Size::parse(text).and_then(|size| size.of(now)).ok();
        for (text, now, new) in [
            ("400M", 0, 400 << 20),
            ("10KB", 5, 10_000),
            ("1GiB", 0, 1 << 30),
            ("+5", 7, 12),
            ("-5K", 7, 0),
            ("<4", 7, 4),
            (">4", 7, 7),
            ("/4K", 5000, 4096),
            ("%4K", 5000, 8192),
            ("K", 0, 1024),
        ] {
            assert_eq!(of(text, now), Some(new), "{text}");
        }
        for wrong in ["", "x", "10Q", "1.5G", "%0", "9999999E"] {
            assert_eq!(of(wrong, 1), None, "{wrong}");
        }
    }
}
