//! The time that a stage writes down.

use module::Meta;

/// Now, in seconds since 1970: the source epoch, or else the clock where something needs a time that was.
pub fn now(meta: &Meta) -> i64 {
    let environment = || std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok();
    let clock = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as i64)
    };
    meta.source_epoch.or_else(environment).unwrap_or_else(clock)
}

pub use archive::time::civil;
