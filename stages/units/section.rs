//! The `[Install]` section of a unit file.

use module::{Result, bail};

use super::name::Name;

/// What a unit asks for when it is enabled.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Section {
    pub alias: Vec<String>,
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

impl Section {
    /// Reads what `text`, a unit file or a drop-in, adds or, with an empty value, takes back.
    pub fn read(&mut self, text: &str) {
        let mut inside = false;
        for line in logical_lines(text) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with('[') {
                inside = line == "[Install]";
                continue;
            }
            if let (true, Some((key, value))) = (inside, line.split_once('=')) {
                self.set(key.trim_end(), value.trim_start());
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let list = match key {
            "Alias" => &mut self.alias,
            "WantedBy" => &mut self.wanted_by,
            "RequiredBy" => &mut self.required_by,
            "UpheldBy" => &mut self.upheld_by,
            "Also" => &mut self.also,
            "DefaultInstance" => {
                self.default_instance = Some(value.to_owned()).filter(|value| !value.is_empty());
                return;
            }
            _ => return,
        };
        if value.is_empty() {
            list.clear();
        }
        list.extend(
            value
                .split_whitespace()
                .map(|word| word.trim_matches(['"', '\'']).to_owned()),
        );
    }

    /// Whether it asks for nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Lines, those that end in a backslash joined with the next that is no comment.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if open.is_some() && line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let joined = open.take().unwrap_or_default() + line;
        match joined.strip_suffix('\\') {
            Some(start) => open = Some(format!("{start} ")),
            None => lines.push(joined),
        }
    }
    lines.extend(open);
    lines
}

/// Expands the specifiers of systemd.unit(5) that a unit file can know without being on the machine that runs it.
pub fn expand(text: &str, unit: &Name) -> Result<String> {
    let mut expanded = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => expanded.push_str(unit.as_str()),
            Some('N') => expanded.push_str(unit.stem()),
            Some('p') => expanded.push_str(unit.prefix()),
            Some('i') => expanded.push_str(unit.instance().unwrap_or_default()),
            Some('j') => expanded.push_str(unit.prefix().rsplit('-').next().unwrap_or_default()),
            Some('u' | 'g') => expanded.push_str("root"),
            Some('U' | 'G') => expanded.push('0'),
            Some('%') => expanded.push('%'),
            other => bail!(
                "unit {unit}: `%{}` in `{text}` of its [Install] section is not known before the machine runs: enable \
                 it there, or make the link with org.osbuild.ln",
                other.map_or(String::new(), String::from)
            ),
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_install_section_counts() {
        let mut section = Section::default();
        section.read(
            "[Unit]\nAlias=no.service\n[Install]\n# WantedBy=no.target\nWantedBy = a.target \\\n; comment\n b.target\n\
             WantedBy=c.target\nAlias=x.service\nAlias=\nDefaultInstance=tty1\n[Service]\nAlso=no.service\n",
        );
        assert_eq!(section.wanted_by, ["a.target", "b.target", "c.target"]);
        assert!(section.alias.is_empty() && section.also.is_empty());
        assert_eq!(section.default_instance.as_deref(), Some("tty1"));
    }

    #[test]
    fn specifiers_are_expanded_or_refused() {
        let unit = Name::parse("a-b@c.service").unwrap();
        assert_eq!(
            expand("%n %N %p %i %j %%", &unit).unwrap(),
            "a-b@c.service a-b@c a-b c b %"
        );
        assert!(expand("%m.service", &unit).is_err());
        assert!(expand("x%", &unit).is_err());
    }
}
