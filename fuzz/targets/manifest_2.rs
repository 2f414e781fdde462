//! Manifests of format 2.
#![no_main]

#[path = "support/manifests.rs"]
mod manifests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| manifests::check(data, "2"));
