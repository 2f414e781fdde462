//! Questions to rpm: where its database is, what is installed.

use std::collections::BTreeSet;
use std::path::Path;

use module::{Input, Result, Tool, Tree};
use serde_json::{Map, Value, json};

use super::Rpm;

/// Tags that hold a signature, of all ages of the format.
const SIGNATURES: [&str; 5] = ["RSAHEADER", "DSAHEADER", "SIGPGP", "SIGGPG", "OPENPGP"];

/// Where Fedora, and rpm itself since 4.16, keep the database of a system.
const DEFAULT: &str = "/usr/lib/sysimage/rpm";
/// Places of databases, as they are looked for.
const KNOWN: [&str; 3] = [DEFAULT, "/var/lib/rpm", "/usr/share/rpm"];

/// What is told of each package: member of the metadata and query tag.
const TAGS: [(&str, &str); 11] = [
    ("name", "NAME"),
    ("version", "VERSION"),
    ("release", "RELEASE"),
    ("epoch", "EPOCH"),
    ("arch", "ARCH"),
    ("sigmd5", "SIGMD5"),
    ("sha1header", "SHA1HEADER"),
    ("sha256header", "SHA256HEADER"),
    ("sha3_256header", "SHA3_256HEADER"),
    ("sigpgp", "SIGPGP"),
    ("siggpg", "SIGGPG"),
];

/// The `--dbpath` to call rpm with: the one that is asked for, or, where the rpm of the build root has its database in
/// a home directory, the one the tree has.
pub fn dbpath(tree: &Tree, asked: Option<&str>) -> Result<Option<String>> {
    if let Some(path) = asked {
        return Ok(Some(path.to_owned()));
    }
    let own = Tool::new("rpm").args(["--eval", "%_dbpath"]).output()?;
    if !String::from_utf8_lossy(&own).trim().ends_with("/.rpmdb") {
        return Ok(None);
    }
    let has_database = |path: &&&str| {
        ["rpmdb.sqlite", "Packages", "Packages.db"]
            .iter()
            .any(|name| tree.is_file(Path::new(path).join(name)))
    };
    let found = KNOWN.iter().find(has_database).unwrap_or(&DEFAULT);
    Ok(Some((*found).to_owned()))
}

/// When the newest package of `list` was built, in seconds since 1970.
pub fn newest(rpm: &Rpm, packages: &Input, list: &Path) -> Result<Option<i64>> {
    if packages.files().is_empty() {
        return Ok(None);
    }
    let tool = rpm
        .tool("rpm")
        .args(["-q", "--nosignature", "--qf", "%{BUILDTIME}\n", "-p"]);
    let output = tool.arg(list).dir(&packages.path).output()?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| line.parse().ok())
        .max())
}

/// Whether a package owns `path`.
pub fn is_owned(rpm: &Rpm, path: &str) -> Result<bool> {
    Ok(rpm
        .tool("rpm")
        .arg("-qf")
        .arg(Path::new("/").join(path))
        .status()?
        == 0)
}

/// All packages of the tree, sorted by name.
pub fn metadata(rpm: &Rpm) -> Result<Value> {
    let known = known_tags()?;
    let tags: Vec<_> = TAGS.iter().filter(|(_, tag)| known.contains(*tag)).collect();
    let format: Vec<_> = tags.iter().map(|(_, tag)| format!("%{{{tag}}}")).collect();
    let output = rpm
        .tool("rpm")
        .arg("-qa")
        .arg(format!("--qf={}\n", format.join("\t")))
        .output()?;
    let output = String::from_utf8_lossy(&output).into_owned();
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    let package = |line: &&str| {
        let mut package: Map<_, _> = TAGS
            .iter()
            .map(|(name, _)| ((*name).to_owned(), Value::Null))
            .collect();
        for ((name, _), value) in tags.iter().zip(line.split('\t')) {
            if value != "(none)" {
                package.insert((*name).to_owned(), value.into());
            }
        }
        Value::Object(package)
    };
    Ok(json!({"packages": lines.iter().map(package).collect::<Vec<_>>()}))
}

/// Removes the index of the database's journal, which is never the same twice, when the journal is empty: SQLite makes
/// both when it needs them (<https://www.sqlite.org/walformat.html>).
pub fn settle(rpm: &Rpm, tree: &Tree) -> Result<()> {
    let path = match &rpm.dbpath {
        Some(path) => path.clone(),
        None => String::from_utf8_lossy(&Tool::new("rpm").args(["--eval", "%_dbpath"]).output()?)
            .trim()
            .to_owned(),
    };
    let journal = format!("{path}/rpmdb.sqlite-wal");
    if tree.stat(&journal)?.is_some_and(|st| st.size == 0) {
        tree.remove_file(journal)?;
        tree.remove_all(format!("{path}/rpmdb.sqlite-shm"))?;
    }
    Ok(())
}

/// Which of the package files `names` carry no signature at all.
pub fn unsigned<'n>(rpm: &Rpm, packages: &Input, names: &[&'n str]) -> Result<Vec<&'n str>> {
    let known = known_tags()?;
    let tags: String = SIGNATURES
        .iter()
        .filter(|tag| known.contains(**tag))
        .map(|tag| format!("%{{{tag}}}"))
        .collect();
    let tool = rpm
        .tool("rpm")
        .args(["-q", "--nosignature", "--qf"])
        .arg(tags.clone() + "\n");
    let output = tool.arg("-p").args(names).dir(&packages.path).output()?;
    let nothing = "(none)".repeat(tags.matches('{').count());
    let output = String::from_utf8_lossy(&output);
    let found = output.lines().zip(names).filter(|(line, _)| *line == nothing);
    Ok(found.map(|(_, name)| *name).collect())
}

/// The tags that this version of rpm knows.
fn known_tags() -> Result<BTreeSet<String>> {
    let output = Tool::new("rpm").arg("--querytags").output()?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .map(str::to_owned)
        .collect())
}
