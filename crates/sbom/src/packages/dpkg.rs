//! dpkg: `/var/lib/dpkg/status`, and `status.d/` in images that have no dpkg (deb822, see deb-control(5)).

use tree::Tree;

use super::{Package, System, relative, said};
use crate::Result;

pub(super) const STATUS: &str = "var/lib/dpkg/status";
pub(super) const STATUS_DIR: &str = "var/lib/dpkg/status.d";
const INFO: &str = "var/lib/dpkg/info";

pub(super) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let mut all = Vec::new();
    if tree.is_file(STATUS) {
        for fields in paragraphs(&tree.read_text(STATUS)?) {
            if is_installed(&fields) {
                all.push(package(tree, &fields)?);
            }
        }
    }
    if tree.is_dir(STATUS_DIR) {
        for name in tree.list(STATUS_DIR)? {
            let name = name.to_string_lossy();
            // beside a package's paragraph stand its checksums
            if name.ends_with(".md5sums") {
                continue;
            }
            let text = tree.read_text(format!("{STATUS_DIR}/{name}"))?;
            let sums = format!("{STATUS_DIR}/{name}.md5sums");
            for fields in paragraphs(&text) {
                let mut package = package(tree, &fields)?;
                if package.files.is_empty() && tree.is_file(&sums) {
                    package.files = of_sums(&tree.read_text(&sums)?);
                }
                all.push(package);
            }
        }
    }
    Ok(all)
}

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// The fields of each paragraph; of those that go on, the first line.
fn paragraphs(text: &str) -> Vec<Fields<'_>> {
    fn field(line: &str) -> Option<(&str, &str)> {
        line.split_once(':').filter(|_| !line.starts_with([' ', '\t']))
    }
    text.split("\n\n")
        .map(|text| text.lines().filter_map(field).collect::<Fields<'_>>())
        .filter(|fields| get(fields, "Package").is_some())
        .collect()
}

fn get<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    let field = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value.trim())
}

/// Whether its files are there: unpacked at least, be it configured or not.
fn is_installed(fields: &Fields<'_>) -> bool {
    let state = get(fields, "Status").and_then(|status| status.split_whitespace().nth(2));
    !matches!(
        state,
        None | Some("not-installed" | "config-files" | "half-installed")
    )
}

fn package(tree: &Tree, fields: &Fields<'_>) -> Result<Package> {
    let field = |name| get(fields, name).and_then(said);
    let mut package = Package::new(System::Deb);
    package.name = field("Package").unwrap_or_default();
    package.version = field("Version").unwrap_or_default();
    package.architecture = field("Architecture").unwrap_or_default();
    package.source = field("Source");
    package.supplier = field("Maintainer");
    package.homepage = field("Homepage");
    package.summary = field("Description");
    let of_architecture = format!("{}:{}", package.name, package.architecture);
    for name in [&package.name, &of_architecture] {
        let path = format!("{INFO}/{name}.list");
        if tree.is_file(&path) {
            let text = tree.read_text(&path)?;
            package.files = text.lines().map(relative).filter(|path| path != ".").collect();
        }
    }
    Ok(package)
}

/// The paths of an `md5sums`: lines of a digest, two spaces and a path.
fn of_sums(text: &str) -> Vec<String> {
    let path = |line: &str| line.split_once("  ").map(|(_, path)| relative(path));
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all(INFO).unwrap();
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\
                      Source: src (1)\nMaintainer: M <m@example.org>\nDescription: short\n long: x\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        tree.write(STATUS, status).unwrap();
        tree.write(format!("{INFO}/a:amd64.list"), "/.\n/usr\n/usr/bin/a\n")
            .unwrap();
        tree.mkdir_all(STATUS_DIR).unwrap();
        tree.write(format!("{STATUS_DIR}/b"), "Package: b\nVersion: 2\n")
            .unwrap();
        tree.write(format!("{STATUS_DIR}/b.md5sums"), "0123  usr/bin/b\n")
            .unwrap();
        let found = packages(&tree).unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|p| (&*p.name, &*p.version, p.files.join(" ")))
            .collect();
        assert_eq!(
            short,
            [
                ("a", "1:2-3", "usr usr/bin/a".into()),
                ("b", "2", "usr/bin/b".into())
            ]
        );
        assert_eq!(found[0].summary.as_deref(), Some("short"));
        assert_eq!(found[0].source.as_deref(), Some("src (1)"));
    }
}
