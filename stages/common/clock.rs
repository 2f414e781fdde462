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

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(civil(0), [1970, 1, 1, 0, 0]);
        assert_eq!(civil(951_826_560), [2000, 2, 29, 12, 16]);
        assert_eq!(civil(1_700_000_000), [2023, 11, 14, 22, 13]);
        assert_eq!(civil(-60), [1969, 12, 31, 23, 59]);
    }
}
