//! pacman: `/var/lib/pacman/local/NAME-VERSION/{desc,files}`, blocks of a line `%KEY%` and its values.

use tree::Tree;

use super::{Package, System, relative};
use crate::Result;

pub(super) const LOCAL: &str = "var/lib/pacman/local";

pub(super) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let mut all = Vec::new();
    if !tree.is_dir(LOCAL) {
        return Ok(all);
    }
    for entry in tree.list(LOCAL)? {
        let dir = format!("{LOCAL}/{}", entry.to_string_lossy());
        let desc = format!("{dir}/desc");
        if !tree.is_file(&desc) {
            continue;
        }
        let files = format!("{dir}/files");
        let files = match tree.is_file(&files) {
            true => tree.read_text(&files)?,
            false => String::new(),
        };
        all.push(package(&tree.read_text(&desc)?, &files));
    }
    Ok(all)
}

fn package(desc: &str, files: &str) -> Package {
    let first = |key| values(desc, key).next().map(str::to_owned);
    let licences: Vec<&str> = values(desc, "LICENSE").collect();
    let mut package = Package::new(System::Pacman);
    package.name = first("NAME").unwrap_or_default();
    package.version = first("VERSION").unwrap_or_default();
    package.architecture = first("ARCH").unwrap_or_default();
    package.source = first("BASE");
    package.supplier = first("PACKAGER");
    package.homepage = first("URL");
    package.summary = first("DESC");
    package.licence = Some(licences.join(" AND ")).filter(|text| !text.is_empty());
    package.files = values(files, "FILES").map(relative).collect();
    package
}

/// The values of a block.
fn values<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let head = format!("%{key}%");
    let lines = text.lines().skip_while(move |line| *line != head);
    lines.skip(1).take_while(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read() {
        let desc = "%NAME%\nbash\n\n%VERSION%\n5.2-1\n\n%ARCH%\nx86_64\n\n%LICENSE%\nGPL\nMIT\n\n";
        let package = package(desc, "%FILES%\nusr/\nusr/bin/bash\n\n%BACKUP%\netc/x\n");
        assert_eq!((&*package.name, &*package.version), ("bash", "5.2-1"));
        assert_eq!(package.licence.as_deref(), Some("GPL AND MIT"));
        assert_eq!(package.files, ["usr", "usr/bin/bash"]);
    }
}
