//! Computes the digest of this crate's sources: part of the digest of every module that writes images.

use sha2::{Digest, Sha256};

fn main() {
    println!("cargo::rerun-if-changed=src");
    let mut files: Vec<_> = std::fs::read_dir("src")
        .expect("the source directory is readable")
        .map(|entry| entry.expect("the source directory is readable").path())
        .collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).expect("a source file is readable"));
    }
    println!("cargo::rustc-env=SOURCE_DIGEST={}", hex::encode(hash.finalize()));
}
