//! The metadata of a repository: `repomd.xml`, and in `primary.xml` the path and the digest of each package.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};

use super::{Chosen, Pinned};
use crate::error::{Failure, OrFail, Result};

/// What `repomd.xml` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repomd {
    /// The path of `primary.xml` below the repository's address.
    pub primary: String,
    /// When it was made, in seconds since 1970.
    pub made: Option<i64>,
}

impl Repomd {
    /// Reads a `repomd.xml`.
    pub fn read(from: impl BufRead) -> std::result::Result<Self, Error> {
        let mut found = Self::default();
        let mut of_primary = false;
        let mut in_timestamp = false;
        events(from, |event| {
            match event {
                Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                    "data" => of_primary = attribute(tag, "type").as_deref() == Some("primary"),
                    "location" if of_primary => found.primary = attribute(tag, "href").unwrap_or_default(),
                    "timestamp" => in_timestamp = true,
                    _ => {}
                },
                Event::Text(text) if in_timestamp => {
                    // some have fractions of a second
                    let time = text.split('.').next().and_then(|text| text.trim().parse().ok());
                    found.made = found.made.max(time);
                }
                Event::End(_) => in_timestamp = false,
                _ => {}
            }
            true
        })?;
        Ok(found)
    }
}

/// Finds the `chosen` packages in the metadata that lies in `dir` (where `repodata/` is), which is of the repository
/// they were chosen from.
pub fn pin(dir: &Path, chosen: &[Chosen]) -> Result<(Vec<Pinned>, Repomd)> {
    let file = dir.join("repodata/repomd.xml");
    let what = || format!("cannot read {}", file.display());
    let repomd = Repomd::read(BufReader::new(File::open(&file).or_fail(what)?)).or_fail(what)?;
    let file = dir.join(&repomd.primary);
    let what = || format!("cannot read {}", file.display());
    let reader = BufReader::with_capacity(1 << 18, open(&file)?);
    let pinned = packages(reader, chosen).or_fail(what)?;
    Ok((pinned, repomd))
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    let what = || format!("cannot read {}", file.display());
    let raw = File::open(file).or_fail(what)?;
    let extension = file
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(match extension.as_str() {
        "xml" => Box::new(raw),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        "xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(raw)),
        "zst" => Box::new(zstd::Decoder::new(raw).or_fail(what)?),
        other => {
            return Err(Failure::failed(format!(
                "{}: `{other}` is no known compression",
                file.display()
            )));
        }
    })
}

#[derive(Default)]
struct Package {
    name: String,
    arch: String,
    evr: String,
    checksum_type: String,
    checksum: String,
    path: String,
    size: u64,
}

/// Reads `primary.xml` and keeps what is `chosen`.
fn packages(from: impl BufRead, chosen: &[Chosen]) -> std::result::Result<Vec<Pinned>, Error> {
    let mut found = Vec::new();
    let mut package = Package::default();
    // the element whose text comes next
    let mut element = String::new();
    events(from, |event| {
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                element = tag.local_name().as_ref().to_owned();
                match element.as_str() {
                    "package" => package = Package::default(),
                    "version" => package.evr = evr(tag),
                    "checksum" => package.checksum_type = attribute(tag, "type").unwrap_or_default(),
                    "location" => package.path = attribute(tag, "href").unwrap_or_default(),
                    "size" => {
                        let size = attribute(tag, "package");
                        package.size = size.and_then(|size| size.parse().ok()).unwrap_or_default();
                    }
                    _ => {}
                }
            }
            Event::Text(text) => {
                match element.as_str() {
                    "name" => package.name = text.trim().to_owned(),
                    "arch" => package.arch = text.trim().to_owned(),
                    "checksum" => package.checksum = text.trim().to_owned(),
                    _ => {}
                }
                element.clear();
            }
            Event::End(tag) if tag.local_name().as_ref() == "package" => {
                found.extend(std::mem::take(&mut package).pinned(chosen));
            }
            Event::End(_) => element.clear(),
            _ => {}
        }
        true
    })?;
    Ok(found)
}

impl Package {
    fn pinned(self, chosen: &[Chosen]) -> Option<Pinned> {
        let same = |one: &&Chosen| one.name == self.name && one.arch == self.arch && one.evr == self.evr;
        let chosen = chosen.iter().find(same)?.clone();
        (self.checksum_type == "sha256").then_some(Pinned {
            chosen,
            path: self.path,
            sha256: self.checksum,
            size: self.size,
        })
    }
}

fn evr(tag: &BytesStart<'_>) -> String {
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (epoch, version, release) = (value("epoch"), value("ver"), value("rel"));
    match epoch.as_str() {
        "" | "0" => format!("{version}-{release}"),
        _ => format!("{epoch}:{version}-{release}"),
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(quick_xml::escape::unescape(&attribute.value).ok()?.into_owned())
}

/// Calls `each` with every event, until it says no.
fn events(from: impl BufRead, mut each: impl FnMut(&Event<'_>) -> bool) -> std::result::Result<(), Error> {
    let mut reader = Reader::from_reader(from);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer)? {
            Event::Eof => return Ok(()),
            event if !each(&event) => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repomd_leads_to_primary() {
        let xml = r#"<repomd><revision>1</revision>
            <data type="filelists"><location href="repodata/f.xml.gz"/><timestamp>20</timestamp></data>
            <data type="primary"><location href="repodata/p.xml.gz"/><timestamp>10.5</timestamp></data></repomd>"#;
        let repomd = Repomd::read(xml.as_bytes()).unwrap();
        assert_eq!(
            (repomd.primary.as_str(), repomd.made),
            ("repodata/p.xml.gz", Some(20))
        );
    }

    #[test]
    fn the_chosen_are_found() {
        let package = |name: &str, epoch: &str| {
            format!(
                r#"<package type="rpm"><name>{name}</name><arch>noarch</arch>
                <version epoch="{epoch}" ver="1.0" rel="1"/><checksum type="sha256" pkgid="YES">ab</checksum>
                <size package="42" installed="1"/><location href="p/a&amp;b.rpm"/></package>"#
            )
        };
        let xml = format!("<metadata>{}{}</metadata>", package("a", "0"), package("b", "2"));
        let chosen = Chosen {
            name: "b".into(),
            evr: "2:1.0-1".into(),
            arch: "noarch".into(),
            repository: "r".into(),
        };
        let found = packages(xml.as_bytes(), std::slice::from_ref(&chosen)).unwrap();
        assert_eq!(
            found,
            [Pinned {
                chosen,
                path: "p/a&b.rpm".into(),
                sha256: "ab".into(),
                size: 42
            }]
        );
    }
}
