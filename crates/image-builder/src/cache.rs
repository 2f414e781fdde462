//! Where package lists are kept between runs.

use std::path::{Path, PathBuf};

/// The directory that was asked for, else the user's cache directory (`$XDG_CACHE_HOME`, `~/.cache`).
pub fn dir(asked: Option<&Path>) -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let users = || {
        variable("XDG_CACHE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(|| "/var/cache".into())
            .join("image-builder")
    };
    let dir = asked.map_or_else(users, Path::to_owned);
    // apt takes absolute paths only
    std::path::absolute(&dir).unwrap_or(dir)
}
