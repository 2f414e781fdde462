//! Ids, numbers, sizes and times as people read them.

use std::time::SystemTime;

/// As much of an id or a digest as people read.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A number with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A size for people: three digits at most before the unit, decimal units.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = size as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match UNITS[unit] {
        "B" => format!("{size} B"),
        name if value < 9.95 => format!("{value:.1} {name}"),
        name => format!("{value:.0} {name}"),
    }
}

/// How long ago something was.
pub(crate) fn age(since: SystemTime) -> String {
    let seconds = since.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} ago", count((seconds / 86_400) as usize, "day")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_are_short() {
        let all = [0, 999, 1000, 1_400_000_000, 411_600_000, 60_000_000_000].map(bytes);
        assert_eq!(all, ["0 B", "999 B", "1.0 kB", "1.4 GB", "412 MB", "60 GB"]);
    }

    #[test]
    fn times_are_rough() {
        let ago = |seconds| age(SystemTime::now() - Duration::from_secs(seconds));
        let all = [0, 61, 7200, 90_000, 200_000].map(ago);
        assert_eq!(
            all,
            ["just now", "1 min ago", "2 h ago", "1 day ago", "2 days ago"]
        );
        assert_eq!(age(SystemTime::now() + Duration::from_secs(60)), "just now");
    }
}
