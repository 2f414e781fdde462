//! A store whose files were written by strangers: references, their records, objects.
//!
//! The input is up to five files, with a byte 0xff between them: the target of the reference, its record, and `info`,
//! `parent` and what follows the first line of `index` of the object.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use store::Store;
use tempfile::TempDir;

const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TREE: &str = "2222222222222222222222222222222222222222222222222222222222222222";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (dir, store) = place();
    let mut parts = data.split(|byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let link = dir.join("refs").join(ID);
    let _ = std::fs::remove_file(&link);
    let target = next();
    let usual = format!("../objects/{TREE}");
    let target = if target.is_empty() {
        usual.as_bytes()
    } else {
        target
    };
    // a name with a NUL cannot be one
    let _ = std::os::unix::fs::symlink(OsStr::from_bytes(target), &link);
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        match bytes {
            [] => drop(std::fs::remove_file(path)),
            _ => std::fs::write(path, bytes).expect("a store can be written"),
        }
    };
    write(&format!("refs/{ID}.json"), next());
    write(&format!("objects/{TREE}/info"), next());
    write(&format!("objects/{TREE}/parent"), next());
    write(
        &format!("objects/{TREE}/index"),
        &[b"osbuild index 2\n", next()].concat(),
    );
    store.records();
    if let Ok(Some((object, _))) = store.lookup(ID) {
        object.layers();
        let _ = object.is_intact();
        let _ = store.is_usable(&object);
        let _ = object.index();
    }
});

fn place() -> (PathBuf, &'static Store) {
    static STORE: OnceLock<(TempDir, Store)> = OnceLock::new();
    let (dir, store) = STORE.get_or_init(|| {
        let dir = TempDir::new().expect("there is a directory for temporary files");
        let store = Store::open(dir.path()).expect("a store can be made");
        let object = dir.path().join("objects").join(TREE);
        std::fs::create_dir_all(object.join("layer")).expect("a store can be written");
        std::fs::write(object.join("lock"), "").expect("a store can be written");
        (dir, store)
    });
    (dir.path().to_owned(), store)
}
