//! OpenPGP keys: telling their forms apart, and making text of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Failure, OrFail, Result};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Whether a key is armored: text that can stand in a sources file.
pub fn is_armored(key: &[u8]) -> bool {
    key.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// The value of `Signed-By` for a key that is given as a file or as armored text. A file is taken in: the name it has here
/// means nothing elsewhere.
pub fn key_field(key: &str) -> Result<String> {
    if is_armored(key.as_bytes()) {
        return Ok(as_field(key.as_bytes()));
    }
    let path = std::path::absolute(key).or_fail(|| format!("`{key}`"))?;
    let bytes =
        std::fs::read(path).map_err(|error| Failure::input(format!("cannot read the key {key}: {error}")))?;
    Ok(as_field(&bytes))
}

/// A key as the value of a deb822 field: armored, every line indented, an empty one a dot.
pub fn as_field(key: &[u8]) -> String {
    let text = if is_armored(key) {
        String::from_utf8_lossy(key).into_owned()
    } else {
        armor(key)
    };
    text.trim()
        .lines()
        .map(|line| match line.trim_end() {
            "" => "\n .".to_owned(),
            line => format!("\n {line}"),
        })
        .collect()
}

/// RFC 4880, section 6.2.
fn armor(key: &[u8]) -> String {
    let mut text = format!("{BEGIN}\n\n");
    let data = STANDARD.encode(key);
    for line in data.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    let sum = STANDARD.encode(&crc24(key).to_be_bytes()[1..]);
    format!("{text}={sum}\n{END}\n")
}

/// RFC 4880, section 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        let shifted = crc << 1;
        if shifted & 0x0100_0000 == 0 {
            shifted
        } else {
            shifted ^ 0x0186_4cfb
        }
    };
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ (u32::from(*byte) << 16), |crc, _| step(crc));
    bytes.iter().fold(0x00b7_04ce, add) & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armored_key_becomes_a_field() {
        let key = format!("{BEGIN}\n\nab\n");
        assert!(is_armored(key.as_bytes()));
        assert_eq!(as_field(key.as_bytes()), format!("\n {BEGIN}\n .\n ab"));
        assert!(!is_armored(b"\x99\x01"));
    }

    #[test]
    fn a_binary_key_is_armored() {
        // the check value of CRC-24/OPENPGP
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
        let text = armor(b"123456789");
        assert_eq!(text.lines().nth(2), Some("MTIzNDU2Nzg5"));
        assert_eq!(text.lines().nth(3), Some("=Ic8C"));
    }
}
