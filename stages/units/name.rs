//! Names of units: `NAME.TYPE`, of a template `NAME@.TYPE`, of its instance `NAME@INSTANCE.TYPE`.

use std::fmt;

use module::{Result, bail};

const TYPES: &[&str] = &[
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];
/// `UNIT_NAME_MAX`
const LONGEST: usize = 255;

/// The valid name of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Reads a name with its type; `None` where it is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, kind) = text.rsplit_once('.')?;
        let valid = text.len() <= LONGEST
            && TYPES.contains(&kind)
            && !stem.is_empty()
            && !stem.starts_with('@')
            && stem
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b));
        valid.then(|| Self(text.to_owned()))
    }

    /// Reads a name as people write it: without a type it is `default_type`.
    pub fn complete(text: &str, default_type: &str) -> Result<Self> {
        let has_type = text
            .rsplit_once('.')
            .is_some_and(|(_, kind)| TYPES.contains(&kind));
        let full = if has_type {
            text.to_owned()
        } else {
            format!("{text}.{default_type}")
        };
        match Self::parse(&full) {
            Some(name) => Ok(name),
            None => {
                bail!("`{text}` is not the name of a unit: it looks like sshd.service or getty@tty1.service")
            }
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last dot.
    pub fn kind(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(_, kind)| kind)
    }

    /// The name without its type.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(stem, _)| stem)
    }

    /// What stands before the `@`, or the whole stem.
    pub fn prefix(&self) -> &str {
        self.stem()
            .split_once('@')
            .map_or(self.stem(), |(prefix, _)| prefix)
    }

    /// What stands after the `@`: empty in a template, `None` in a plain name.
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance)
    }

    /// Whether it is `NAME@.TYPE`.
    pub fn is_template(&self) -> bool {
        self.instance() == Some("")
    }

    /// Whether it is `NAME@INSTANCE.TYPE`.
    pub fn is_instance(&self) -> bool {
        self.instance().is_some_and(|instance| !instance.is_empty())
    }

    /// The template of an instance.
    pub fn template(&self) -> Self {
        self.with_instance("")
    }

    /// The instance of a template.
    pub fn with_instance(&self, instance: &str) -> Self {
        Self(format!("{}@{instance}.{}", self.prefix(), self.kind()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_have_parts() {
        let name = Name::parse("getty@tty1.service").unwrap();
        assert_eq!(
            (name.prefix(), name.instance(), name.kind()),
            ("getty", Some("tty1"), "service")
        );
        assert_eq!(name.template().as_str(), "getty@.service");
        assert!(name.template().is_template() && name.is_instance());
        assert_eq!(Name::complete("a.b", "service").unwrap().as_str(), "a.b.service");
        for text in [
            "",
            ".service",
            "@x.service",
            "a/b.service",
            "a b.service",
            "a.nothing",
        ] {
            assert!(Name::parse(text).is_none(), "{text}");
        }
    }
}
