//! The package indexes that apt has fetched: what there is, and what pins it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use crate::error::{OrFail, Result};

/// A `Packages` file and the repository it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub file: PathBuf,
    pub uri: String,
    pub suite: String,
    /// `Origin` of the Release file.
    pub origin: String,
}

/// A version of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    pub version: String,
    pub architecture: String,
    pub path: String,
    pub sha256: String,
    pub size: u64,
    /// Bytes on the disk once it is installed.
    pub installed: u64,
    /// Which of the targets it is in.
    pub target: usize,
}

/// Everything that can be installed.
#[derive(Debug, Default)]
pub struct Available {
    pub targets: Vec<Target>,
    packages: BTreeMap<String, Vec<Candidate>>,
    /// Names that packages provide, and those packages.
    provided: BTreeMap<String, BTreeSet<String>>,
    /// What every system has: essential packages and those of priority `required`.
    pub required: BTreeSet<String>,
    /// Groups of packages that the packages themselves name (Ubuntu's tasks).
    pub tasks: BTreeSet<String>,
}

impl Available {
    /// Reads the indexes.
    pub fn read(targets: Vec<Target>) -> Result<Self> {
        let mut all = Self {
            targets,
            ..Self::default()
        };
        for number in 0..all.targets.len() {
            let file = all.targets[number].file.clone();
            let what = || format!("cannot read the package list {}", file.display());
            let reader = BufReader::with_capacity(1 << 18, File::open(&file).or_fail(what)?);
            all.read_index(reader, number).or_fail(what)?;
        }
        Ok(all)
    }

    fn read_index(&mut self, mut from: impl BufRead, target: usize) -> std::io::Result<()> {
        let mut line = Vec::new();
        let mut paragraph = Paragraph::default();
        loop {
            line.clear();
            let end = from.read_until(b'\n', &mut line)? == 0;
            let text = line.trim_ascii_end();
            if text.is_empty() {
                self.add(std::mem::take(&mut paragraph), target);
                if end {
                    return Ok(());
                }
            } else if !text.starts_with(b" ") {
                paragraph.field(text);
            }
        }
    }

    fn add(&mut self, paragraph: Paragraph, target: usize) {
        if paragraph.name.is_empty() {
            return;
        }
        if paragraph.required {
            self.required.insert(paragraph.name.clone());
        }
        for provided in paragraph.provides {
            self.provided
                .entry(provided)
                .or_default()
                .insert(paragraph.name.clone());
        }
        self.tasks.extend(paragraph.tasks);
        let candidate = Candidate {
            target,
            ..paragraph.candidate
        };
        self.packages.entry(paragraph.name).or_default().push(candidate);
    }

    /// Whether apt can install something by this name.
    pub fn has(&self, name: &str) -> bool {
        self.packages.contains_key(name) || self.provided.contains_key(name)
    }

    /// Whether there is a real package of this name.
    pub fn is_real(&self, name: &str) -> bool {
        self.packages.contains_key(name)
    }

    /// The packages that provide a name.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.provided.get(name).into_iter().flatten().map(String::as_str)
    }

    /// The versions of a package.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = &str> {
        let candidates = self.packages.get(name).into_iter().flatten();
        candidates.map(|candidate| candidate.version.as_str())
    }

    /// The names of all packages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }

    /// The version of a package that apt has chosen.
    pub fn candidate(&self, name: &str, version: &str, architecture: &str) -> Option<&Candidate> {
        let candidates = self.packages.get(name)?;
        candidates
            .iter()
            .find(|one| one.version == version && one.architecture == architecture)
    }
}

#[derive(Default)]
struct Paragraph {
    name: String,
    candidate: Candidate,
    required: bool,
    provides: Vec<String>,
    tasks: Vec<String>,
}

impl Paragraph {
    fn field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let value = || String::from_utf8_lossy(line[colon + 1..].trim_ascii()).into_owned();
        let first_words = || {
            let words = value();
            let words = words.split(',').filter_map(|one| one.split_whitespace().next());
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        match &line[..colon] {
            b"Package" => self.name = value(),
            b"Version" => self.candidate.version = value(),
            b"Architecture" => self.candidate.architecture = value(),
            b"Filename" => {
                let path = value();
                self.candidate.path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            }
            b"SHA256" => self.candidate.sha256 = value(),
            b"Size" => self.candidate.size = value().parse().unwrap_or_default(),
            b"Installed-Size" => {
                let kibibytes: u64 = value().parse().unwrap_or_default();
                self.candidate.installed = kibibytes.saturating_mul(1 << 10);
            }
            b"Essential" => self.required |= value() == "yes",
            b"Priority" => self.required |= value() == "required",
            b"Provides" => self.provides = first_words(),
            b"Task" => self.tasks = first_words(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: bash
Version: 5.2-1
Architecture: amd64
Essential: yes
Description: a shell
 Filename: not this
Filename: ./pool/bash.deb
Size: 42
Installed-Size: 3
SHA256: ab

Package: mawk
Version: 1.3
Architecture: amd64
Priority: required
Provides: awk (= 1), interpreter
Filename: pool/mawk.deb
Size: 7
SHA256: cd";

    #[test]
    fn an_index_is_read() {
        let mut all = Available::default();
        all.read_index(INDEX.as_bytes(), 3).unwrap();
        let bash = all.candidate("bash", "5.2-1", "amd64").unwrap();
        assert_eq!(
            (bash.path.as_str(), bash.size, bash.installed, bash.target),
            ("pool/bash.deb", 42, 3072, 3)
        );
        assert_eq!(all.required.iter().collect::<Vec<_>>(), ["bash", "mawk"]);
        assert!(all.has("awk") && all.has("interpreter") && !all.has("perl"));
        assert!(!all.is_real("awk"));
        assert_eq!(all.providers("awk").collect::<Vec<_>>(), ["mawk"]);
        assert_eq!(all.versions("mawk").collect::<Vec<_>>(), ["1.3"]);
        assert_eq!(all.candidate("bash", "5.2-2", "amd64"), None);
    }
}
