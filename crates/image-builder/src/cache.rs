//! Where package lists are kept between runs.

use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// The directory that was asked for, else the user's cache directory (`$XDG_CACHE_HOME`, `~/.cache`). It must be one that
/// the configuration of apt can name, which has no way to write a quotation mark in a text.
pub fn dir(asked: Option<&Path>) -> Result<PathBuf> {
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
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let text = dir.to_str();
    if text.is_some_and(|text| !text.contains(|c: char| c == '"' || c.is_control())) {
        return Ok(dir);
    }
    let message = format!(
        "{} is no place for the cache: apt takes no path with a quotation mark, a control character or what is not UTF-8",
        dir.display()
    );
    Err(Failure::input(message).hint("`--cache DIR` names another place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_apt_cannot_be_told_is_refused() {
        for name in ["/a\"b", "/a\nb", "/a\tb"] {
            let failure = dir(Some(Path::new(name))).unwrap_err();
            assert!(failure.message.contains("is no place for the cache"), "{failure}");
            assert_eq!(failure.exit_code(), 2);
        }
        let good = Path::new("/a 'b'\\{c};#%41/\u{e9}");
        assert_eq!(dir(Some(good)).unwrap(), good);
    }
}
