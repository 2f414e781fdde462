//! Computes the digest of these sources: part of the digest of every module that reads or writes archives.

fn main() {
    source_digest::set(&["src", "../direct/src"]);
}
