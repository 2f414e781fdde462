//! Package databases of a tree: rpm's SQLite database and its log, the headers in it, and the texts of the others.
//!
//! The first byte says which. For rpm's the log stands behind the last byte 0xff that has its magic behind it.
#![no_main]

/// As in `rpmdb.rs`, which has it for both readers.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[allow(dead_code)]
#[path = "../../crates/sbom/src/rpmdb/header.rs"]
mod header;
#[path = "support/place.rs"]
mod place;
#[allow(dead_code)]
#[path = "../../crates/sbom/src/rpmdb/sqlite.rs"]
mod sqlite;

use place::Place;
use tree::Tree;

/// What a write-ahead log begins with, of which only the last bit varies.
const LOG: &[u8] = b"\xff\x37\x7f\x06";

/// Every tag that is read.
const TAGS: [u32; 13] = [
    1000, 1001, 1002, 1003, 1004, 1011, 1014, 1020, 1022, 1044, 1116, 1117, 1118,
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    match how % 5 {
        0 => read_header(rest),
        1 => {
            let at = rest
                .windows(LOG.len())
                .rposition(|bytes| bytes == LOG)
                .unwrap_or(rest.len());
            let (file, log) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
            let blobs =
                sqlite::Database::open(file.to_vec(), log).and_then(|database| database.blobs("Packages"));
            let blobs = blobs.unwrap_or_default();
            let bytes: usize = blobs.iter().map(Vec::len).sum();
            assert!(bytes <= rest.len(), "{bytes} bytes of {}", rest.len());
            blobs.iter().for_each(|blob| read_header(blob));
        }
        2 => listed("var/lib/dpkg/status", rest),
        3 => listed("lib/apk/db/installed", rest),
        _ => listed("var/lib/pacman/local/a-1/desc", rest),
    }
});

fn read_header(bytes: &[u8]) {
    let Ok(header) = header::Header::parse(bytes) else {
        return;
    };
    for tag in TAGS {
        let (texts, numbers) = (header.texts(tag), header.numbers(tag));
        assert!(texts.len() <= bytes.len() && 4 * numbers.len() <= bytes.len());
        assert!(header.text(tag).is_none_or(|text| !text.is_empty()));
    }
}

/// A tree with this file.
fn listed(path: &str, content: &[u8]) {
    let place = Place::new();
    let tree = Tree::open(place.dir("tree")).expect("it was made just now");
    tree.mkdir_all(path.rsplit_once('/').expect("it is in a directory").0)
        .expect("it can be made");
    tree.write(path, content).expect("it can be written");
    for package in sbom::packages(&tree).unwrap_or_default() {
        assert!(
            package.files.iter().all(|file| !file.starts_with('/')),
            "{:?}",
            package.files
        );
    }
}
