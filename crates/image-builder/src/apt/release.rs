//! The Release files of repositories: when they were made.

use std::path::Path;

/// The newest `Date` of the Release files in a directory of apt's lists, in seconds since 1970.
pub fn newest(lists: &Path) -> Option<i64> {
    let files = std::fs::read_dir(lists).ok()?;
    let files = files.filter_map(|entry| Some(entry.ok()?.path()));
    let releases = files.filter(|file| {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.ends_with("Release")
    });
    releases
        .filter_map(|file| date_of(&std::fs::read_to_string(file).ok()?))
        .max()
}

fn date_of(release: &str) -> Option<i64> {
    release
        .lines()
        .find_map(|line| seconds(line.strip_prefix("Date:")?))
}

/// Reads `Sat, 06 Sep 2025 10:11:12 UTC` (RFC 5322, as the Release format has it: in UTC or with an offset).
fn seconds(date: &str) -> Option<i64> {
    let date = date.split_once(',').map_or(date, |(_, rest)| rest);
    let words: Vec<&str> = date.split_whitespace().collect();
    let [day, month, year, time, zone] = words[..] else {
        return None;
    };
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = i64::try_from(months.find(month)? / 3 + 1).ok()?;
    let clock: Vec<i64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let offset = match zone {
        "UTC" | "GMT" | "Z" => 0,
        _ => {
            let number: i64 = zone.parse().ok()?;
            (number / 100) * 3600 + (number % 100) * 60
        }
    };
    let days = days(year.parse().ok()?, month, day.parse().ok()?);
    Some(days * 86400 + hour * 3600 + minute * 60 + second - offset)
}

/// The days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // years begin in March, so that the leap day is a year's last
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        assert_eq!(seconds(" Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        // date -u -d '2025-09-06 10:11:12' +%s
        assert_eq!(seconds("Sat, 06 Sep 2025 10:11:12 UTC"), Some(1_757_153_472));
        assert_eq!(seconds("Sat, 06 Sep 2025 12:11:12 +0200"), Some(1_757_153_472));
        // date -u -d '2024-02-29' +%s
        assert_eq!(seconds("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(seconds("yesterday"), None);
    }
}
