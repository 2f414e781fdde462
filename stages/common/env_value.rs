//! Values of environment files such as `/etc/locale.conf`, as systemd reads and writes them.

/// Whether systemd takes the text as the name of a locale or keymap: a file name without characters that change a
/// shell's mind (`locale_is_valid`, `keymap_is_valid`).
pub fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() < 128
        && !name.chars().any(|c| c.is_control() || "/\"'\\".contains(c))
}

/// The value as an environment file has it: in quotes where a shell would not take it as one word.
pub fn env_value(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.@+:,".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let escaped = value.replace('$', "\\$").replace('`', "\\`");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted_or_refused() {
        assert_eq!(env_value("ca_ES@valencia"), "ca_ES@valencia");
        assert_eq!(env_value("a $b"), "\"a \\$b\"");
        for name in ["", "..", "a/b", "x'y", "a\nb"] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("de-latin1"));
    }
}
