//! Checksums: `sha256:0123…`, as items are named.

use std::fmt;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A checksum that an item's content must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Checksum {
    algorithm: Algorithm,
    /// All of it, as files are named.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A checksum being computed.
#[derive(Clone)]
pub(crate) enum Hasher {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Checksum {
    /// Reads `algorithm:hex`. The digest must have the length of its algorithm, so that it is safe as a file name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a checksum such as sha256:0123…");
        let (name, hex) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = match name {
            "md5" => Algorithm::Md5,
            "sha1" => Algorithm::Sha1,
            "sha256" => Algorithm::Sha256,
            "sha384" => Algorithm::Sha384,
            "sha512" => Algorithm::Sha512,
            _ => {
                return Err(format!(
                    "`{text}`: `{name}` is none of md5, sha1, sha256, sha384, sha512"
                ));
            }
        };
        let digits = algorithm.digits();
        if hex.len() != digits {
            return Err(format!(
                "`{text}`: a {name} has {digits} digits, not {}",
                hex.len()
            ));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        Ok(Self {
            algorithm,
            name: text.to_owned(),
        })
    }

    /// A fresh hasher of its algorithm.
    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Md5 => Hasher::Md5(Md5::new()),
            Algorithm::Sha1 => Hasher::Sha1(Sha1::new()),
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// Compares with what was hashed; an error is the checksum found.
    pub(crate) fn verify(&self, hasher: Hasher) -> Result<(), Self> {
        let found = Self {
            algorithm: self.algorithm,
            name: format!("{}:{}", self.algorithm.name(), hasher.finish()),
        };
        if found == *self { Ok(()) } else { Err(found) }
    }

    /// As it is written, and as files are named.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its digits, in small letters.
    pub(crate) fn hex(&self) -> &str {
        &self.name[self.name.len() - self.algorithm.digits()..]
    }

    /// Whether nothing at all has this checksum.
    pub(crate) fn is_of_nothing(&self) -> bool {
        self.verify(self.hasher()).is_ok()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(h) => h.update(bytes),
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Md5(h) => hex::encode(h.finalize()),
            Self::Sha1(h) => hex::encode(h.finalize()),
            Self::Sha256(h) => hex::encode(h.finalize()),
            Self::Sha384(h) => hex::encode(h.finalize()),
            Self::Sha512(h) => hex::encode(h.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the three bytes `abc`; FIPS 180-4 and RFC 1321.
    const ABC: [&str; 5] = [
        "md5:900150983cd24fb0d6963f7d28e17f72",
        "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ];

    #[test]
    fn every_algorithm_is_verified() {
        for text in ABC {
            let checksum = Checksum::parse(text).unwrap();
            assert_eq!(checksum.to_string(), text);
            let mut hasher = checksum.hasher();
            hasher.update(b"ab");
            let short = hasher.clone();
            hasher.update(b"c");
            assert_eq!(checksum.verify(hasher), Ok(()));
            assert_ne!(checksum.verify(short).unwrap_err().to_string(), text);
            assert!(!checksum.is_of_nothing());
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:ba78",
            "sha3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "../sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
            "md5:../../../../../../../../etc/passwd",
        ] {
            assert!(Checksum::parse(text).is_err(), "{text}");
        }
        let error = Checksum::parse("sha1:ab").unwrap_err();
        assert_eq!(error, "`sha1:ab`: a sha1 has 40 digits, not 2");
    }
}
