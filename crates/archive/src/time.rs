//! Times as people and documents write them.

/// Year, month, day, hour and minute of a time in seconds since 1970, UTC.
pub fn civil(seconds: i64) -> [i64; 5] {
    let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Howard Hinnant's "days from civil" turned round: years start in March, eras have 400 of them
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    [year, month, day, rest / 3600, rest / 60 % 60]
}

/// As in `2022-08-01T23:42:11+00:00`.
pub fn rfc3339(seconds: i64) -> String {
    let [year, month, day, hour, minute] = civil(seconds);
    let second = seconds.rem_euclid(60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

#[cfg(test)]
mod tests {
    use super::{civil, rfc3339};

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(rfc3339(1_659_397_331), "2022-08-01T23:42:11+00:00");
        assert_eq!(civil(0), [1970, 1, 1, 0, 0]);
        assert_eq!(civil(951_826_560), [2000, 2, 29, 12, 16]);
        assert_eq!(civil(1_700_000_000), [2023, 11, 14, 22, 13]);
        assert_eq!(civil(-60), [1969, 12, 31, 23, 59]);
    }
}
