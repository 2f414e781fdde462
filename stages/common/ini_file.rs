//! Changing configuration files with sections that others have written: comments, order and spelling stay.

use module::{Result, Tree, bail};

/// The text of such a file, line by line.
///
/// Keys are compared without regard to case, section names with. Of several lines with a key the last one counts. What
/// is added looks as the iniparse library would have it: `key = value`, behind the last setting of its section.
#[derive(Debug, Default, Clone)]
pub struct IniFile {
    /// What stands between the newlines: the last is empty where the text ends in one.
    lines: Vec<String>,
}

/// A line that sets something, taken apart.
struct Setting<'a> {
    key: &'a str,
    /// The sign and the white space around it.
    separator: &'a str,
    /// From the semicolon on, with the column it starts in.
    comment: Option<(usize, &'a str)>,
}

impl IniFile {
    /// Reads a text; a line that is no section, setting, continuation or comment is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<String> = match text {
            "" => Vec::new(),
            text => text.split('\n').map(str::to_owned).collect(),
        };
        let (mut in_section, mut has_setting) = (false, false);
        for (at, line) in lines.iter().enumerate() {
            if is_blank(line) {
                continue;
            }
            if section_name(line).is_some() {
                (in_section, has_setting) = (true, false);
            } else if in_section && Setting::read(line).is_some() {
                has_setting = true;
            } else if !(has_setting && is_continuation(line)) {
                bail!("line {}: `{line}` is no section, setting or comment", at + 1);
            }
        }
        Ok(Self { lines })
    }

    /// The file `path` of the tree; `None` where there is none.
    pub fn read(tree: &Tree, path: &str) -> Result<Option<Self>> {
        use module::Context;
        match tree.stat_followed(path)? {
            None => Ok(None),
            Some(_) => Ok(Some(
                Self::parse(&tree.read_text(path)?).with_context(|| format!("/{path}"))?,
            )),
        }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Sets `key` of `section`; both are added where they are not there.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        let blocks = self.blocks(section);
        let found = blocks
            .iter()
            .rev()
            .flat_map(|&(start, end)| (start + 1..end).rev())
            .find(|&at| {
                Setting::read(&self.lines[at]).is_some_and(|setting| setting.key.eq_ignore_ascii_case(key))
            });
        match (found, blocks.last()) {
            (Some(at), _) => self.replace(at, value),
            (None, Some(&(start, end))) => {
                let at = self.end_of_settings(start, end);
                self.lines.insert(at, format!("{key} = {value}"));
            }
            (None, None) => self.append(section, key, value),
        }
    }

    /// Where the blocks of `section` start (their headers) and end.
    fn blocks(&self, section: &str) -> Vec<(usize, usize)> {
        let headers: Vec<usize> = (0..self.lines.len())
            .filter(|&at| section_name(&self.lines[at]).is_some())
            .collect();
        let ends = headers
            .iter()
            .skip(1)
            .copied()
            .chain(std::iter::once(self.lines.len()));
        headers
            .iter()
            .copied()
            .zip(ends)
            .filter(|&(start, _)| section_name(&self.lines[start]) == Some(section))
            .collect()
    }

    /// The line behind the last setting of a block, its continuations included.
    fn end_of_settings(&self, start: usize, end: usize) -> usize {
        let text = |at: &usize| !is_blank(&self.lines[*at]);
        (start..end).rev().find(text).map_or(start + 1, |at| at + 1)
    }

    /// Gives the setting in line `at` the value `value`, its continuations removed.
    fn replace(&mut self, at: usize, value: &str) {
        let mut end = at + 1;
        let mut next = end;
        while next < self.lines.len() && (is_blank(&self.lines[next]) || is_continuation(&self.lines[next])) {
            next += 1;
            if !is_blank(&self.lines[next - 1]) {
                end = next;
            }
        }
        let Some(setting) = Setting::read(&self.lines[at]) else {
            return;
        };
        let mut line = format!("{}{}{value}", setting.key, setting.separator);
        if let Some((column, comment)) = setting.comment {
            line.push(' ');
            line = format!("{line:column$}{comment}");
        }
        self.lines.splice(at..end, [line]);
    }

    fn append(&mut self, section: &str, key: &str, value: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.push(format!("[{section}]"));
        self.lines.push(format!("{key} = {value}"));
    }
}

impl<'a> Setting<'a> {
    fn read(line: &'a str) -> Option<Self> {
        if is_blank(line) || line.starts_with(char::is_whitespace) || line.starts_with('[') {
            return None;
        }
        let line = line.trim_end();
        let sign = line.find([':', '=']).filter(|&sign| sign > 0)?;
        let key = line[..sign].trim_end();
        let value = line[sign + 1..].trim_start();
        let value_at = line.len() - value.len();
        // a semicolon starts a comment only behind white space
        let comment = value
            .match_indices(';')
            .next()
            .map(|(at, _)| value_at + at)
            .filter(|&at| line[..at].ends_with(char::is_whitespace));
        Some(Self {
            key,
            separator: &line[key.len()..value_at],
            comment: comment.map(|at| (at, &line[at..])),
        })
    }
}

fn section_name(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    (!name.is_empty() && (rest.is_empty() || rest.starts_with([';', '#']))).then_some(name)
}

/// Whether the line says nothing: it is empty or a comment.
fn is_blank(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    word.is_empty()
        || line.starts_with([';', '#'])
        || (line.starts_with(word) && word.eq_ignore_ascii_case("rem"))
}

fn is_continuation(line: &str) -> bool {
    line.starts_with(char::is_whitespace) && !line.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::IniFile;

    fn set(text: &str, section: &str, key: &str, value: &str) -> String {
        let mut file = IniFile::parse(text).unwrap();
        file.set(section, key, value);
        file.text()
    }

    #[test]
    fn spelling_and_comments_stay() {
        let text = "# top\n[a]\nKey: x   ; why\n[b]\nkey=1\n";
        assert_eq!(
            set(text, "a", "key", "yy"),
            "# top\n[a]\nKey: yy  ; why\n[b]\nkey=1\n"
        );
        assert_eq!(
            set(text, "b", "KEY", ""),
            "# top\n[a]\nKey: x   ; why\n[b]\nkey=\n"
        );
    }

    #[test]
    fn continuations_go_with_their_setting() {
        let text = "[a]\nk = 1\n  2\n# c\n\n  3\n# d\nl = 4\n";
        assert_eq!(set(text, "a", "k", "9"), "[a]\nk = 9\n# d\nl = 4\n");
        assert_eq!(
            set("[a]\nk = 1\n  2\n\n[b]\n", "a", "x", "9"),
            "[a]\nk = 1\n  2\nx = 9\n\n[b]\n"
        );
    }

    #[test]
    fn of_several_lines_and_blocks_the_last_counts() {
        let text = "[a]\nk=1\nk=2\n[b]\n[a]\nx=1\n";
        assert_eq!(set(text, "a", "k", "3"), "[a]\nk=1\nk=3\n[b]\n[a]\nx=1\n");
        assert_eq!(
            set(text, "a", "new", "3"),
            "[a]\nk=1\nk=2\n[b]\n[a]\nx=1\nnew = 3\n"
        );
    }

    #[test]
    fn what_is_missing_is_added() {
        assert_eq!(set("", "a", "k", "1"), "[a]\nk = 1");
        assert_eq!(set("[b]\nx=1\n", "a", "k", "1"), "[b]\nx=1\n\n\n[a]\nk = 1");
        assert_eq!(set("[a]\n# none\n", "a", "k", "1"), "[a]\nk = 1\n# none\n");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["k=1\n", "[a]\nword\n", "[a]\n  word\n", "[]\n"] {
            assert!(IniFile::parse(text).is_err(), "{text:?}");
        }
    }
}
