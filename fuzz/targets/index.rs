//! The index of a tree, as it lies in a store.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tree::Tree;
use tree::index::{Index, Times};

fuzz_target!(|data: &[u8]| {
    let bytes = [b"osbuild index 2\n", data].concat();
    let Ok(index) = Index::read_from(&bytes[..]) else {
        return;
    };
    let mut again = Vec::new();
    index.write_to(&mut again).expect("there is memory");
    assert_eq!(again, bytes, "only what is written is read");
    assert_eq!(
        Index::read_from(&again[..]).map(|index| index.digest()).ok(),
        Some(index.digest())
    );
    assert!(index.diff(&index).is_empty());
    index.diff(&Index::empty());
    Index::empty().diff(&index);
    index.total_size();
    for entry in index.entries() {
        assert_eq!(index.get(&entry.path), Some(entry));
    }
    let _ = index.merge_layer(nothing(), Times::Keep);
});

/// An empty layer.
fn nothing() -> &'static Tree {
    static NOTHING: OnceLock<Tree> = OnceLock::new();
    NOTHING.get_or_init(|| {
        let dir = tempfile::tempdir().expect("there is a directory for temporary files");
        Tree::open(dir.path()).expect("it was made just now")
    })
}
