//! Manifests of format 1, its oldest form included.
#![no_main]

#[path = "support/manifests.rs"]
mod manifests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| manifests::check(data, "1"));
