//! Computes the digest of these sources: part of the digest of every module.

fn main() {
    source_digest::set(&["src", "../tree/src", "../direct/src"]);
}
