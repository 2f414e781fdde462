//! SPDX 2.3 documents in JSON (spdx.github.io/spdx-spec/v2.3).
//!
//! ```text
//! DOCUMENT --DESCRIBES--> the image --CONTAINS--> each package, and each file that no package has
//!                                                 each package --CONTAINS--> its files
//! ```
//!
//! Packages are those of the tree's own database. Files are the regular ones, with the SHA-256 that the store has of them and
//! the SHA-1 that the format demands. Nothing in it depends on when or where it is made: the time is that of the image,
//! the namespace is made from the tree's digest.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tree::index::{Entry, Index};
use tree::{Kind, Tree};

use crate::owners::owners;
use crate::packages::{Package, System, packages};
use crate::purl::{encoded, purl};
use crate::release::Release;
use crate::{Error, Result, time};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const NOTHING_SAID: &str = "NOASSERTION";

/// What is described.
#[derive(Debug)]
pub struct Image<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Who describes it, such as `osbuild-200`.
    pub tool: &'a str,
    /// Seconds since 1970: the time of the document.
    pub time: i64,
    /// The tree of the operating system, and its index.
    pub tree: &'a Tree,
    pub index: &'a Index,
}

/// The document of an image.
///
/// # Errors
/// A package database or a file of the tree cannot be read.
pub fn document(image: &Image<'_>) -> Result<Value> {
    let release = Release::read(image.tree)?;
    let packages = packages(image.tree)?;
    let ids = ids(&packages);
    let owners = owners(image.index, &packages);
    let mut relations = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    relations.extend(ids.iter().map(|id| relation(IMAGE, "CONTAINS", id)));
    let (mut files, mut known) = (Vec::new(), HashMap::new());
    // of each package, the image as the last one, the SHA-1 of its files
    let mut contents = vec![Vec::new(); packages.len() + 1];
    for entry in image.index.entries().filter(|entry| entry.kind == Kind::File) {
        let (id, sums) = (id_of_file(&entry.path), sums(image.tree, &entry, &mut known)?);
        let owner = owners.get(&entry.path).copied().unwrap_or(packages.len());
        let from = ids.get(owner).map_or(IMAGE, String::as_str);
        relations.push(relation(from, "CONTAINS", &id));
        files.push(of_file(&entry, id, &sums));
        contents[owner].push(sums.sha1);
    }
    let unowned = contents.pop().unwrap_or_default();
    let mut entries = vec![with_files(of_image(image, &release), unowned)];
    for ((package, id), content) in packages.iter().zip(&ids).zip(contents) {
        entries.push(with_files(of_package(package, id, &release), content));
    }
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": image.name,
        "documentNamespace": format!("https://osbuild.org/spdx/{}/{}", image.index.digest(), encoded(image.name)),
        "creationInfo": {"created": time::utc(image.time), "creators": [format!("Tool: {}", image.tool)]},
        "packages": entries,
        "files": files,
        "relationships": relations,
    }))
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Adds the code by which the files of a package are known, made of their SHA-1 (SPDX 2.3, 7.9). Only one that has it may
/// contain files.
fn with_files(mut package: Map<String, Value>, mut sha1s: Vec<String>) -> Value {
    if !sha1s.is_empty() {
        sha1s.sort();
        let code = hex::encode(Sha1::digest(sha1s.concat()));
        package.insert("filesAnalyzed".into(), true.into());
        package.insert(
            "packageVerificationCode".into(),
            json!({"packageVerificationCodeValue": code}),
        );
    }
    package.into()
}

/// The image as a package.
fn of_image(image: &Image<'_>, release: &Release) -> Map<String, Value> {
    let mut all = base(IMAGE, image.name, release.version.as_deref().unwrap_or_default());
    all.insert("primaryPackagePurpose".into(), "OPERATING-SYSTEM".into());
    let summary = release.pretty_name.clone();
    all.extend(summary.map(|text| ("summary".to_owned(), text.into())));
    if let Some(cpe) = &release.cpe {
        // the older spelling of CPE names begins with `cpe:/`
        let kind = if cpe.starts_with("cpe:2.3:") {
            "cpe23Type"
        } else {
            "cpe22Type"
        };
        let reference =
            json!({"referenceCategory": "SECURITY", "referenceType": kind, "referenceLocator": cpe});
        all.insert("externalRefs".into(), json!([reference]));
    }
    all
}

fn of_package(package: &Package, id: &str, release: &Release) -> Map<String, Value> {
    let mut all = base(id, &package.name, &package.full_version());
    let mut add = |key: &str, value: Option<String>| {
        all.extend(value.map(|value| (key.to_owned(), value.into())));
    };
    add("supplier", package.supplier.as_deref().map(actor));
    let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    let is_url = |url: &String| is_url(url) && !url.contains([' ', '<', '>', '"']);
    add("homepage", package.homepage.clone().filter(is_url));
    add("summary", package.summary.clone());
    add(
        "sourceInfo",
        package
            .source
            .as_ref()
            .map(|source| format!("built from {source}")),
    );
    // what databases have is seldom an expression as SPDX wants it
    let licence = |licence: &String| format!("the package says: {licence}");
    add("licenseComments", package.licence.as_ref().map(licence));
    let reference = json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl(package, release),
    });
    all.insert("externalRefs".into(), json!([reference]));
    all
}

/// What every package has.
fn base(id: &str, name: &str, version: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |key: &str, value: Value| all.insert(key.to_owned(), value);
    add("SPDXID", id.into());
    add("name", name.into());
    if !version.is_empty() {
        add("versionInfo", version.into());
    }
    add("downloadLocation", NOTHING_SAID.into());
    add("filesAnalyzed", false.into());
    add("licenseConcluded", NOTHING_SAID.into());
    add("licenseDeclared", NOTHING_SAID.into());
    add("copyrightText", NOTHING_SAID.into());
    all
}

/// A maintainer `NAME <MAIL>` as SPDX writes one.
fn actor(text: &str) -> String {
    let text = text.replace(['(', ')'], "");
    match text.split_once('<') {
        Some((name, mail)) if !name.trim().is_empty() => {
            format!(
                "Organization: {} ({})",
                name.trim(),
                mail.trim_end().trim_end_matches('>')
            )
        }
        _ => format!("Organization: {}", text.trim_matches(['<', '>', ' '])),
    }
}

/// An id for each package: what it is, in letters, digits, `.` and `-`.
fn ids(packages: &[Package]) -> Vec<String> {
    let mut seen = HashSet::new();
    let id = |package: &Package| {
        let kind = match package.system {
            System::Deb => "deb",
            System::Rpm => "rpm",
            System::Apk => "apk",
            System::Pacman => "pacman",
        };
        let (name, version) = (&package.name, package.full_version());
        let plain = format!("SPDXRef-{kind}-{name}-{version}-{}", package.architecture);
        let plain = plain.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        // `g++` and `g--` would have one id
        let mut id = plain.clone();
        let mut number = 1;
        while !seen.insert(id.clone()) {
            number += 1;
            id = format!("{plain}-{number}");
        }
        id
    };
    packages.iter().map(id).collect()
}

fn id_of_file(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    format!("SPDXRef-File-{}", hex::encode(&digest[..16]))
}

fn of_file(entry: &Entry, id: String, sums: &Sums) -> Value {
    json!({
        "SPDXID": id,
        "fileName": format!("./{}", entry.path.display()),
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": sums.sha1},
            {"algorithm": "SHA256", "checksumValue": sums.sha256},
        ],
    })
}

/// The digests of a file's content, in hexadecimal digits.
#[derive(Debug, Clone)]
struct Sums {
    sha1: String,
    sha256: String,
}

/// Those of a file; `known` has contents that were read already, by what stands for them in the index.
fn sums(tree: &Tree, entry: &Entry, known: &mut HashMap<[u8; 32], Sums>) -> Result<Sums> {
    let content = entry.digest.unwrap_or_default();
    if let Some(sums) = known.get(&content) {
        return Ok(sums.clone());
    }
    let sums = read(tree, entry)?;
    known.insert(content, sums.clone());
    Ok(sums)
}

fn read(tree: &Tree, entry: &Entry) -> Result<Sums> {
    let mut file = tree.open_file(&entry.path)?;
    let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = file.read(&mut buffer).map_err(|cause| Error::Read {
            path: entry.path.display().to_string(),
            cause,
        })?;
        if length == 0 {
            break;
        }
        sha1.update(&buffer[..length]);
        // of most files the index knows it
        if entry.sha256().is_none() {
            sha256.update(&buffer[..length]);
        }
    }
    let sha256 = entry.sha256().unwrap_or_else(|| sha256.finalize().into());
    Ok(Sums {
        sha1: hex::encode(sha1.finalize()),
        sha256: hex::encode(sha256),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::index::Times;

    #[test]
    fn packages_have_their_files_and_the_image_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["usr/bin", "var/lib/dpkg/info", "etc"] {
            tree.mkdir_all(path).unwrap();
        }
        tree.symlink("usr/bin", "bin").unwrap();
        tree.write("usr/bin/a", "a").unwrap();
        tree.write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
            .unwrap();
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2+b\n\
                      Maintainer: M <m@example.org>\n";
        tree.write("var/lib/dpkg/status", status).unwrap();
        tree.write("var/lib/dpkg/info/a.list", "/bin/a\n").unwrap();
        let index = Index::scan(&tree, Times::Keep).unwrap();
        let image = Image {
            name: "os",
            tool: "x-1",
            time: 0,
            tree: &tree,
            index: &index,
        };
        let document = document(&image).unwrap();
        let package = &document["packages"][1];
        let purl = "pkg:deb/debian/a@1:2%2Bb?arch=amd64&distro=debian-12";
        assert_eq!(package["externalRefs"][0]["referenceLocator"], purl);
        assert_eq!(package["supplier"], "Organization: M (m@example.org)");
        let file = id_of_file(Path::new("usr/bin/a"));
        let relations = document["relationships"].as_array().unwrap();
        assert!(relations.contains(&relation("SPDXRef-deb-a-1-2-b-amd64", "CONTAINS", &file)));
        assert!(relations.contains(&relation(
            IMAGE,
            "CONTAINS",
            &id_of_file(Path::new("etc/os-release"))
        )));
        assert_eq!(document["files"].as_array().unwrap().len(), 4);
    }
}
