//! A package of Alpine, format 2: <https://wiki.alpinelinux.org/wiki/Apk_spec>.
//!
//! ```text
//! gzip  tar  .SIGN.RSA.KEY           (not in every package)
//! gzip  tar  .PKGINFO, .post-install, …      its SHA-1 is what the package is known by
//! gzip  tar  the files
//! ```
//!
//! The streams follow each other; but for the last one, their archives have no end mark.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::GzDecoder;
use module::{Context, Result, ensure};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A package that was read.
#[derive(Debug)]
pub struct Package {
    fields: BTreeMap<String, Vec<String>>,
    /// `.post-install` and so on.
    scripts: BTreeMap<String, Vec<u8>>,
    /// `Q1` and the SHA-1 of the control stream in base 64.
    pub checksum: String,
    /// Size of the whole file, in bytes.
    pub size: usize,
    /// The compressed files.
    data: Vec<u8>,
}

impl Package {
    /// Reads the file `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let size = bytes.len();
        let mut rest = bytes;
        loop {
            let (members, used) = members(rest)?;
            let stream = &rest[..used];
            rest = &rest[used..];
            if let Some(info) = members.get(".PKGINFO") {
                let fields = parse_info(&String::from_utf8_lossy(info));
                let package = Self {
                    scripts: members
                        .into_iter()
                        .filter(|(name, _)| name != ".PKGINFO")
                        .collect(),
                    checksum: checksum(stream),
                    fields,
                    size,
                    data: rest.to_vec(),
                };
                return package.checked();
            }
            ensure!(
                members.keys().any(|name| name.starts_with(".SIGN.")) && !rest.is_empty(),
                "it has no .PKGINFO: it is no package of the format 2"
            );
        }
    }

    fn checked(self) -> Result<Self> {
        for name in ["pkgname", "pkgver"] {
            let value = self.field(name);
            ensure!(
                !value.is_empty() && !value.contains(['/', '\n']),
                "its {name} is missing or unusable"
            );
        }
        let wanted = self.field("datahash");
        ensure!(
            wanted.is_empty() || hex::encode(Sha256::digest(&self.data)) == wanted,
            "its files are not those that it was made with"
        );
        Ok(self)
    }

    pub fn name(&self) -> &str {
        self.field("pkgname")
    }

    pub fn version(&self) -> &str {
        self.field("pkgver")
    }

    /// The first value of a field; nothing where it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .and_then(|values| values.first())
            .map_or("", String::as_str)
    }

    /// All values of a field.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields
            .get(name)
            .into_iter()
            .flatten()
            .flat_map(|value| value.split_whitespace())
    }

    pub fn scripts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.scripts
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_slice()))
    }

    /// A script, such as `.post-install`.
    pub fn script(&self, name: &str) -> Option<&[u8]> {
        self.scripts.get(name).map(Vec::as_slice)
    }

    /// The archive of its files.
    pub fn files(&self) -> impl Read + '_ {
        flate2::bufread::MultiGzDecoder::new(self.data.as_slice())
    }

    /// The permission bits of a directory that it brings.
    pub fn mode_of(&self, directory: &str) -> Option<u32> {
        let mut archive = tar::Archive::new(self.files());
        let mut found = archive.entries().ok()?.filter_map(std::result::Result::ok);
        let found =
            found.find(|entry| entry.path_bytes().strip_suffix(b"/") == Some(directory.as_bytes()))?;
        found.header().mode().ok().map(|mode| mode & 0o7777)
    }
}

/// The files of the first stream, and how many bytes that takes.
fn members(bytes: &[u8]) -> Result<(BTreeMap<String, Vec<u8>>, usize)> {
    let mut decoder = GzDecoder::new(bytes);
    let mut text = Vec::new();
    decoder.read_to_end(&mut text).context("it is damaged")?;
    let used = bytes.len() - decoder.into_inner().len();
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(text.as_slice()).entries()? {
        let mut entry = entry.context("it is damaged")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name.starts_with('.') && !name.contains('/') {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).context("it is damaged")?;
            members.insert(name, content);
        }
    }
    Ok((members, used))
}

/// Lines `NAME = VALUE`, names several times where there are several values.
fn parse_info(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = line.split_once('=') {
            let values = fields.entry(name.trim().to_owned()).or_default();
            values.push(value.trim().to_owned());
        }
    }
    fields
}

/// How the database writes a SHA-1.
pub fn checksum(bytes: &[u8]) -> String {
    format!("Q1{}", STANDARD.encode(Sha1::digest(bytes)))
}
