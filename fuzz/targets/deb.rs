//! Packages: the archive, its control file, its data unpacked; and tar archives by themselves.
#![no_main]

#[allow(dead_code)]
#[path = "../../stages/deb/ar.rs"]
mod ar;
#[allow(dead_code)]
#[path = "../../stages/deb/archive.rs"]
mod archive;
#[allow(dead_code)]
#[path = "../../stages/deb/control.rs"]
mod control;
#[allow(dead_code)]
#[path = "../../stages/deb/extract.rs"]
mod extract;
#[path = "support/place.rs"]
mod place;

use std::io::Read;

use module::Tree;
use place::Place;

/// What is unpacked of a package: it may claim to have no end.
const MOST: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let place = Place::new();
    let tree = place.dir("tree");
    if !data.starts_with(b"!<arch>") {
        unpack(&tree, data);
    } else {
        let package = place.dir("packages").join("x.deb");
        std::fs::write(&package, data).expect("it can be written");
        if let Ok(deb) = archive::Deb::open(&package) {
            assert!(
                !deb.label().contains('/'),
                "the label {} is a file name",
                deb.label()
            );
            deb.control.relations("Depends");
            if let Ok(data) = deb.data() {
                unpack(&tree, data);
            }
        }
    }
    let names = place.names();
    assert!(
        names == ["packages", "tree"] || names == ["tree"],
        "nothing gets out of a tree: {names:?}"
    );
});

fn unpack(tree: &std::path::Path, data: impl Read) {
    let tree = Tree::open(tree).expect("it was made just now");
    let _ = extract::Extractor::new(&tree).extract(data.take(MOST), |path| !path.starts_with("left-out"));
}
