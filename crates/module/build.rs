//! Computes the digest of the sources that every module is built on.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn main() {
    let mut hash = Sha256::new();
    for dir in ["src", "../tree/src"] {
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
