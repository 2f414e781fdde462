//! The control file of a package: fields, and the relations among packages (deb-control(5)).

use module::{Result, ensure};

/// The fields of one control paragraph, in their order, continuation lines included.
#[derive(Debug, Clone)]
pub struct Control {
    fields: Vec<(String, String)>,
}

/// One of the packages that satisfy a dependency; versions are the resolver's concern.
pub type Alternatives = Vec<String>;

impl Control {
    /// Reads a paragraph. It must say which package of which version and architecture it is.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let control = Self { fields };
        for name in ["Package", "Version", "Architecture"] {
            ensure!(
                control.get(name).is_some_and(is_word),
                "the control file has no proper field `{name}`"
            );
        }
        Ok(control)
    }

    /// The value of a field; names ignore case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn package(&self) -> &str {
        self.get("Package").unwrap_or_default()
    }

    pub fn version(&self) -> &str {
        self.get("Version").unwrap_or_default()
    }

    pub fn architecture(&self) -> &str {
        self.get("Architecture").unwrap_or_default()
    }

    /// Whether a system does not work without it.
    pub fn is_essential(&self) -> bool {
        self.get("Essential") == Some("yes")
    }

    /// The dependencies of a field such as `Depends`: each a list of alternatives, names only.
    pub fn relations(&self, field: &str) -> Vec<Alternatives> {
        let clauses = self.get(field).unwrap_or_default().split(',');
        let names = |clause: &str| clause.split('|').filter_map(package_name).collect::<Vec<_>>();
        clauses.map(names).filter(|names| !names.is_empty()).collect()
    }
}

/// `libc6` of ` libc6:any (>= 2.36) [amd64] `.
fn package_name(relation: &str) -> Option<String> {
    let name = relation.trim().split([' ', '(', '[', ':', '\n']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether `value` can stand in a file name and on a command line.
fn is_word(value: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-.:~_".contains(c);
    !value.is_empty() && value.chars().all(fits) && !value.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::Control;

    const TEXT: &str = "Package: demo\nVersion: 1:2.0~rc1-1+b2\nArchitecture: amd64\nEssential: yes\n\
        Depends: libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0,\n perl:any\nDescription: short\n long\n .\n";

    #[test]
    fn fields_and_relations_are_read() {
        let control = Control::parse(TEXT).unwrap();
        assert_eq!(control.version(), "1:2.0~rc1-1+b2");
        assert!(control.is_essential());
        assert_eq!(control.get("description"), Some("short\n long\n ."));
        assert_eq!(
            control.relations("Depends"),
            [vec!["libc6"], vec!["debconf", "debconf-2.0"], vec!["perl"]]
        );
        assert!(control.relations("Pre-Depends").is_empty());
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let text = TEXT.replace("demo", "../demo");
        assert!(
            Control::parse(&text)
                .unwrap_err()
                .to_string()
                .contains("`Package`")
        );
    }
}
