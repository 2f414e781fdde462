//! Configuration files made of sections: `[name]`, then lines `key=value`.

use std::fmt::Write as _;

/// Such a file as it is put together: sections and their lines in the order in which they were first named.
#[derive(Debug, Default, Clone)]
pub struct Ini {
    sections: Vec<Section>,
}

/// One section of an [`Ini`].
#[derive(Debug, Clone)]
pub struct Section {
    name: String,
    lines: Vec<(String, String)>,
}

impl Ini {
    /// The section `name`; made where it is not there.
    pub fn section(&mut self, name: &str) -> &mut Section {
        let at = match self.sections.iter().position(|section| section.name == name) {
            Some(at) => at,
            None => {
                self.sections.push(Section {
                    name: name.to_owned(),
                    lines: Vec::new(),
                });
                self.sections.len() - 1
            }
        };
        &mut self.sections[at]
    }

    /// The text: `separator` between key and value, an empty line after each section. The further lines of a value are
    /// indented.
    pub fn text(&self, separator: &str) -> String {
        let mut text = String::new();
        for section in &self.sections {
            let _ = writeln!(text, "[{}]", section.name);
            for (key, value) in &section.lines {
                let _ = writeln!(text, "{key}{separator}{}", value.replace('\n', "\n\t"));
            }
            text.push('\n');
        }
        text
    }
}

impl Section {
    /// Gives `key` the only value `value`, at the place where it was first set.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        match self.lines.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value.into(),
            None => self.add(key, value),
        }
    }

    /// Adds a line; `key` may have others.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.lines.push((key.to_owned(), value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::Ini;

    #[test]
    fn order_is_that_of_the_calls() {
        let mut ini = Ini::default();
        ini.section("b").set("x", "1");
        ini.section("a").add("k", "v\nw");
        ini.section("b").set("y", "2");
        ini.section("b").set("x", "3");
        ini.section("a").add("k", "z");
        assert_eq!(ini.text("="), "[b]\nx=3\ny=2\n\n[a]\nk=v\n\tw\nk=z\n\n");
        assert_eq!(Ini::default().text(" = "), "");
    }
}
