//! The sizes of `--cache-max-size`.
#![no_main]

#[path = "../../crates/osbuild/src/size.rs"]
mod size;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(Some(bytes)) = size::parse(text) {
        assert!(
            size::parse(&bytes.to_string()) == Ok(Some(bytes)),
            "{text:?}: {bytes}"
        );
    }
});
