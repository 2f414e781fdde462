//! Computes the digest of this crate's sources: part of the digest of every module that reads or writes archives.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn main() {
    println!("cargo::rerun-if-changed=src");
    let mut hash = Sha256::new();
    for file in files(Path::new("src")) {
        hash.update(std::fs::read(file).expect("a source file is readable"));
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
