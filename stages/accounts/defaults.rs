//! What `/etc/login.defs` and `/etc/default/useradd` of the tree say of new users and groups.

use std::collections::BTreeMap;

use module::{Result, Tree};

/// Settings, with shadow's own values where the tree says nothing.
#[derive(Debug)]
pub struct Defaults {
    login: BTreeMap<String, String>,
    useradd: BTreeMap<String, String>,
}

impl Defaults {
    /// Reads both files; either may be missing.
    pub fn read(tree: &Tree) -> Result<Self> {
        let read = |path: &str, separator: fn(char) -> bool| -> Result<_> {
            if !tree.is_file(path) {
                return Ok(BTreeMap::new());
            }
            let text = tree.read_text(path)?;
            let settings = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once(separator))
                .map(|(key, value)| (key.to_owned(), value.trim().trim_matches('"').to_owned()));
            Ok(settings.collect())
        };
        Ok(Self {
            login: read("etc/login.defs", char::is_whitespace)?,
            useradd: read("etc/default/useradd", |c| c == '=')?,
        })
    }

    /// A number of `login.defs`, which may be octal or hexadecimal as in C.
    pub fn number(&self, key: &str) -> Option<i64> {
        let text = self.login.get(key)?;
        if let Some(digits) = text.strip_prefix("0x") {
            i64::from_str_radix(digits, 16).ok()
        } else if text.len() > 1 && text.starts_with('0') {
            i64::from_str_radix(text, 8).ok()
        } else {
            text.parse().ok()
        }
    }

    /// The directory of mailboxes.
    pub fn mail_dir(&self) -> &str {
        self.login.get("MAIL_DIR").map_or("/var/mail", String::as_str)
    }

    /// A switch of `login.defs`; `None` where it is not set.
    pub fn switch(&self, key: &str) -> Option<bool> {
        Some(self.login.get(key)?.eq_ignore_ascii_case("yes"))
    }

    /// The ids from which ordinary users (`UID`) or groups (`GID`) are served.
    pub fn id_range(&self, what: &str) -> (u32, u32) {
        let number = |key: String, default| {
            self.number(&key)
                .and_then(|n| n.try_into().ok())
                .unwrap_or(default)
        };
        (
            number(format!("{what}_MIN"), 1000),
            number(format!("{what}_MAX"), 60000),
        )
    }

    /// The mode of a new home directory.
    pub fn home_mode(&self) -> u32 {
        let umask = self.number("UMASK").unwrap_or(0o022) as u32;
        self.number("HOME_MODE")
            .map_or(0o777 & !umask, |mode| mode as u32 & 0o7777)
    }

    /// `shadow`'s fields from the fourth on of a new user: ages, and when the account goes.
    pub fn shadow_fields(&self) -> [String; 6] {
        let age = |key| {
            self.number(key)
                .filter(|days| *days >= 0)
                .map_or(String::new(), |n| n.to_string())
        };
        let inactive = self.useradd_setting("INACTIVE", "");
        [
            age("PASS_MIN_DAYS"),
            age("PASS_MAX_DAYS"),
            age("PASS_WARN_AGE"),
            if inactive.starts_with('-') {
                String::new()
            } else {
                inactive.to_owned()
            },
            day_of(self.useradd_setting("EXPIRE", "")).map_or(String::new(), |day| day.to_string()),
            String::new(),
        ]
    }

    /// A setting of `default/useradd`, such as `SHELL` or `SKEL`.
    pub fn useradd_setting<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.useradd.get(key).map_or(default, String::as_str)
    }
}

/// The day that `YYYY-MM-DD`, or a number of days, stands for.
fn day_of(text: &str) -> Option<i64> {
    let mut parts = text.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next(), parts.next());
    match (month, day) {
        (Some(Ok(month @ 1..=12)), Some(Ok(day @ 1..=31))) => {
            // years are counted from March, so that the leap day comes last
            let year = if month <= 2 { year - 1 } else { year };
            let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
            Some(365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
        }
        (None, None) => Some(year),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11016),
            ("2030-01-02", 21916),
            ("12345", 12345),
        ] {
            assert_eq!(day_of(text), Some(day), "{text}");
        }
        assert_eq!(day_of(""), None);
        assert_eq!(day_of("2030-13-01"), None);
    }
}
