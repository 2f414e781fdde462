//! Sizes as `--cache-max-size` takes them.

/// A limit in bytes; `None`: no limit.
///
/// Digits, then one of `kB KiB MB MiB GB GiB TB TiB`, or nothing; or `unlimited`. White space may stand before the
/// digits and before the unit, and nowhere else.
///
/// # Errors
/// It is something else, or more than 64 bits hold.
pub(crate) fn parse(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "`{text}` is no size: give bytes, or a number with kB, KiB, MB, MiB, GB, GiB, TB or TiB, or `unlimited`"
        )
    };
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.trim_start() {
        // white space alone may not follow
        "" if unit.is_empty() => 1,
        "kB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_what_the_python_osbuild_takes() {
        assert_eq!(parse("21474836480"), Ok(Some(20 << 30)));
        assert_eq!(parse("20GiB"), Ok(Some(20 << 30)));
        assert_eq!(parse(" 2 kB"), Ok(Some(2000)));
        assert_eq!(parse("0"), Ok(Some(0)));
        assert_eq!(parse("unlimited"), Ok(None));
        for wrong in [
            "12QB",
            "kB",
            "1kiB",
            "1 ",
            "",
            "-1",
            "1.5GB",
            "Unlimited",
            "1GiB ",
            "99999999TiB",
            "1K",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
