//! Changing flat configuration files: one setting a line, a key and a value.

/// How the lines of a file look.
#[derive(Debug, Clone, Copy)]
pub struct KeyLines {
    /// What is written between key and value; when reading, white space and `=` both separate.
    pub separator: &'static str,
    /// Whether keys are compared without regard to case.
    pub ignore_case: bool,
    /// A key that starts blocks of settings for special cases, up to the end of the file: what is in them is left
    /// alone, and new lines go before the first one.
    pub block: Option<&'static str>,
}

impl KeyLines {
    /// Sets keys in `text`: the first line of each is given the new value, or stays as it is where it has that value;
    /// for keys without one a line is added at the end. Comments and the spelling of keys stay.
    pub fn set(&self, text: &str, settings: &[(&str, String)]) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut end = lines
            .iter()
            .position(|line| self.block.is_some_and(|block| self.is_key(split(line).0, block)))
            .unwrap_or(lines.len());
        for (key, value) in settings {
            let at = lines[..end]
                .iter()
                .position(|line| self.is_key(split(line).0, key));
            match at {
                Some(at) => {
                    let (spelled, old) = split(&lines[at]);
                    if old != value {
                        lines[at] = self.line(spelled, value);
                    }
                }
                None => {
                    lines.insert(end, self.line(key, value));
                    end += 1;
                }
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn line(&self, key: &str, value: &str) -> String {
        format!("{key}{}{value}", self.separator)
    }

    fn is_key(&self, word: &str, key: &str) -> bool {
        word == key || (self.ignore_case && word.eq_ignore_ascii_case(key))
    }
}

/// Key and value of a line; the key of a comment is empty.
fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return ("", "");
    }
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=')
        .unwrap_or(line.len());
    let value = line[end..].trim_start();
    (
        &line[..end],
        value.strip_prefix('=').unwrap_or(value).trim_start(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EQUALS: KeyLines = KeyLines {
        separator: "=",
        ignore_case: false,
        block: None,
    };

    #[test]
    fn the_first_line_is_changed_and_others_are_added() {
        let text = "#a=0\na = 1\na=2\nb=3";
        let settings = [("a", "5".into()), ("b", "3".into()), ("c", "6".into())];
        assert_eq!(EQUALS.set(text, &settings), "#a=0\na=5\na=2\nb=3\nc=6\n");
        assert_eq!(EQUALS.set("A=1\n", &[("a", "1".into())]), "A=1\na=1\n");
    }

    #[test]
    fn blocks_are_left_alone() {
        let lines = KeyLines {
            separator: " ",
            ignore_case: true,
            block: Some("Match"),
        };
        let text = "X 1\nmatch user a\n  Y 2\n";
        let settings = [("x", "3".into()), ("Y", "4".into())];
        assert_eq!(lines.set(text, &settings), "X 3\nY 4\nmatch user a\n  Y 2\n");
    }
}
