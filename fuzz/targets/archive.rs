//! tar archives of strangers, every format, plain and compressed, unpacked into a tree.
#![no_main]

#[path = "support/place.rs"]
mod place;

use std::io::Read;

use archive::{decompress, extract};
use place::Place;
use tree::Tree;

/// What is unpacked of an archive: it may claim to have no end.
const MOST: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let place = Place::new();
    let tree = Tree::open(place.dir("tree")).expect("it was made just now");
    let file = place.dir("archives").join("x");
    std::fs::write(&file, data).expect("it can be written");
    // these would start a program
    if !matches!(
        data,
        [b'L', b'Z', b'I', b'P', ..] | [0x89, b'L', ..] | [0x1f, 0x9d, ..]
    ) && let Ok(content) = decompress::open(std::fs::File::open(&file).expect("it was just written"))
    {
        let _ = extract::unpack(&tree, content.take(MOST));
    }
    assert_eq!(place.names(), ["archives", "tree"], "nothing gets out of a tree");
});
