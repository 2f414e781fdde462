//! A date as the C locale writes it (`%c`), in the machine's time zone.

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Thu Jan  1 00:00:00 1970`; the bare number for a time that has no year.
pub(crate) fn local_time(epoch: i64) -> String {
    // SAFETY: the all-zero `tm` is a valid one, its pointer may be null; both pointers are to live values of ours.
    #[allow(unsafe_code)]
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        (!libc::localtime_r(&epoch, &mut tm).is_null()).then_some(tm)
    };
    let Some(tm) = tm else {
        return epoch.to_string();
    };
    let name = |names: &[&'static str], at: i32| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or("?")
    };
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        name(&DAYS, tm.tm_wday),
        name(&MONTHS, tm.tm_mon),
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        i64::from(tm.tm_year) + 1900
    )
}

#[cfg(test)]
mod tests {
    use super::local_time;

    #[test]
    fn dates_are_those_of_date() {
        for epoch in [0, 1_700_000_000, 1_234_567_890] {
            let output = std::process::Command::new("date")
                .args([format!("--date=@{epoch}"), "+%c".into()])
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            assert_eq!(
                local_time(epoch),
                String::from_utf8_lossy(&output.stdout).trim_end()
            );
        }
    }
}
