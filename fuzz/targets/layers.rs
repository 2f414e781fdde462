//! Trees from strangers: two layers of whatever can lie in a directory are scanned, merged, squashed, copied, removed.
#![no_main]

#[path = "support/place.rs"]
mod place;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use place::Place;
use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use tree::index::{Index, Markers, Times, squash};
use tree::{Tree, copy, walk};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let place = Place::new();
    let open = |name: &str| Tree::open(place.dir(name)).expect("it was made just now");
    let (lower, upper, squashed, copied) = (open("lower"), open("upper"), open("squashed"), open("copied"));
    let mut data = Unstructured::new(data);
    // what is left of a short input is an empty layer
    let _ = fill(&lower, &mut data, false).and_then(|()| fill(&upper, &mut data, true));
    let names = place.names();

    walk::walk(&upper, &mut |entry| {
        let _ = (entry.open(), entry.read_link(), entry.attributes());
        Ok(())
    })
    .expect("it can be walked");
    let markers = Markers::of_this_process();
    if let Ok(below) = Index::empty().merge_layer(&lower, Times::Keep) {
        match below.merge_layer(&upper, Times::Keep) {
            Ok(merged) => {
                survives(&merged);
                below.diff(&merged);
                if squash(&[upper, lower], &squashed, markers).is_ok() {
                    let whole = Index::scan(&squashed, Times::Keep).expect("what was written can be scanned");
                    let changes: Vec<_> = merged.diff(&whole);
                    assert!(
                        changes.is_empty(),
                        "squashed, the tree is another one: {changes:?}"
                    );
                }
            }
            Err(_) => {
                let _ = squash(&[upper, lower], &squashed, markers);
            }
        }
    }
    let _ = copy::copy_tree(&squashed, &copied, &copy::Options::default());
    assert_eq!(place.names(), names, "nothing gets out of a tree");
});

fn survives(index: &Index) {
    let mut bytes = Vec::new();
    index.write_to(&mut bytes).expect("there is memory");
    let again = Index::read_from(&bytes[..]).expect("what is written is read");
    assert_eq!(&again, index);
    assert_eq!(again.digest(), index.digest());
}

/// Does some things in a tree. Those that fail are no matter.
fn fill(tree: &Tree, data: &mut Unstructured<'_>, is_layer: bool) -> Result<()> {
    for _ in 0..data.int_in_range(0..=12)? {
        let path = path(data)?;
        match data.int_in_range(0..=if is_layer { 9 } else { 6 })? {
            0 | 1 => drop(tree.mkdir(&path, 0o755)),
            2 => drop(tree.write(&path, data.bytes(data.len().min(3))?)),
            3 => drop(tree.symlink(self::path(data)?, &path)),
            4 => drop(tree.hard_link(&path, self::path(data)?)),
            5 => drop(tree.chmod(&path, data.arbitrary::<u16>()?.into())),
            6 => attribute(tree, &path, "user.x", data.bytes(data.len().min(4))?),
            7 => node(tree, &path, data.arbitrary()?),
            8 => attribute(
                tree,
                &path,
                "trusted.overlay.opaque",
                if data.arbitrary()? { b"y" } else { b"x" },
            ),
            _ => attribute(
                tree,
                &path,
                "trusted.overlay.redirect",
                self::path(data)?.as_os_str().as_bytes(),
            ),
        }
    }
    Ok(())
}

/// A path of few names, so that they meet.
fn path(data: &mut Unstructured<'_>) -> Result<PathBuf> {
    let mut path = PathBuf::from(if data.ratio(1, 4)? { "/" } else { "" });
    for _ in 0..data.int_in_range(1..=3)? {
        match data.int_in_range(0..=7)? {
            0..=2 => path.push("a"),
            3 | 4 => path.push("b"),
            5 => path.push(".."),
            6 => path.push("x".repeat(255)),
            _ => path.push(OsStr::from_bytes(data.bytes(data.len().min(2))?)),
        }
    }
    Ok(path)
}

fn attribute(tree: &Tree, path: &Path, name: &str, value: &[u8]) {
    if let Ok(file) = tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, 0) {
        let _ = rustix::fs::fsetxattr(file, name, value, XattrFlags::empty());
    }
}

/// A whiteout, or a pipe.
fn node(tree: &Tree, path: &Path, whiteout: bool) {
    if let Ok((dir, name)) = tree.parent_of(path) {
        let kind = if whiteout {
            FileType::CharacterDevice
        } else {
            FileType::Fifo
        };
        let _ = rustix::fs::mknodat(dir, name, kind, Mode::RUSR, 0);
    }
}
