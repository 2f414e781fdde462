//! For build scripts: the digest of a crate's sources, which becomes part of the digest of every module that uses it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Sets `SOURCE_DIGEST` for the crate being built, over all files below `dirs` (relative to the crate).
///
/// # Panics
/// A directory or file cannot be read: the build ends.
pub fn set(dirs: &[&str]) {
    let mut hash = Sha256::new();
    for dir in dirs {
        println!("cargo::rerun-if-changed={dir}");
        for file in files(Path::new(dir)) {
            hash.update(std::fs::read(file).expect("a source file is readable"));
        }
    }
    println!("cargo::rustc-env=SOURCE_DIGEST={}", hex::encode(hash.finalize()));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the source directory is readable") {
        let path = entry.expect("the source directory is readable").path();
        if path.is_dir() {
            all.extend(files(&path))
        } else {
            all.push(path)
        }
    }
    all.sort();
    all
}
