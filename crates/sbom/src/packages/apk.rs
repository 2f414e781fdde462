//! apk: `/lib/apk/db/installed`, paragraphs of lines `LETTER:VALUE` (the Alpine wiki, "Apk spec").

use tree::Tree;

use super::{Package, System, relative, said};
use crate::Result;

pub(super) const PLACES: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(super) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    // the one may be a link to the other
    match PLACES.iter().find(|path| tree.is_file(path)) {
        Some(path) => Ok(parse(&tree.read_text(path)?)),
        None => Ok(Vec::new()),
    }
}

fn parse(text: &str) -> Vec<Package> {
    let all = text.split("\n\n").map(paragraph);
    all.filter(|package| !package.name.is_empty()).collect()
}

fn paragraph(text: &str) -> Package {
    let mut package = Package::new(System::Apk);
    let mut directory = "";
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        match key {
            "P" => package.name = value.to_owned(),
            "V" => package.version = value.to_owned(),
            "A" => package.architecture = value.to_owned(),
            "L" => package.licence = said(value),
            "U" => package.homepage = said(value),
            "T" => package.summary = said(value),
            "o" => package.source = said(value),
            "m" => package.supplier = said(value),
            "F" => directory = value,
            "R" => package.files.push(relative(&format!("{directory}/{value}"))),
            _ => {}
        }
    }
    package
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_whatever_is_written() {
        let all = parse("P:a\nF:/etc\nR:x\nF:\nR:/y\n");
        assert_eq!(all[0].files, ["etc/x", "y"]);
    }

    #[test]
    fn paragraphs_are_packages() {
        let text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nT:the libc\no:musl\nF:lib\nR:ld-musl.so.1\na:0:0:755\n\
                    F:\nR:top\n\nP:b\nV:1\n\n";
        let all = parse(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].files, ["lib/ld-musl.so.1", "top"]);
        assert_eq!(all[0].licence.as_deref(), Some("MIT"));
    }
}
