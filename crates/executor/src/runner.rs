//! Runners: the programs of a library directory that prepare the box for a foreign module.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The runner in `libdir/runners` for `wanted`: the same stem, and the highest version that is not above the wanted
/// one. `None` where there is none, or no such folder.
pub(crate) fn find(libdir: &Path, wanted: &str) -> Option<PathBuf> {
    let (stem, version) = split(wanted);
    let mut best: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(libdir.join("runners")).ok()? {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_string_lossy().into_owned();
        let (its_stem, its_version) = split(&name);
        let better = best.as_ref().is_none_or(|(best, _)| its_version > *best);
        if its_stem == stem && its_version <= version && better && path.is_file() {
            best = Some((its_version, path));
        }
    }
    best.map(|(_, path)| path)
}

/// The runner in `libdir` for `wanted`, or without that for this machine; `None`: there is none.
pub(crate) fn chosen(libdir: &Path, wanted: Option<&str>) -> Option<PathBuf> {
    find(libdir, &wanted.map_or_else(of_host, str::to_owned))
}

/// What a stage sees of the [`chosen`] runner: its name and what is in it.
pub(crate) fn seen(libdir: &Path, wanted: Option<&str>) -> Option<Value> {
    let path = chosen(libdir, wanted)?;
    let content = std::fs::read(&path).unwrap_or_default();
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(json!([name, hex::encode(Sha256::digest(content))]))
}

/// The name of this machine's runner: `org.osbuild.` and the distribution's id and version.
pub(crate) fn of_host() -> String {
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID").unwrap_or_else(|| "linux".into());
    let version = value("VERSION_ID").unwrap_or_default().replace('.', "");
    format!("org.osbuild.{id}{version}")
}

/// A name without its trailing digits, and these as a number.
fn split(name: &str) -> (&str, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn versions_are_the_trailing_digits() {
        assert_eq!(split("org.osbuild.fedora38"), ("org.osbuild.fedora", 38));
        assert_eq!(split("org.osbuild.linux"), ("org.osbuild.linux", 0));
    }
}
