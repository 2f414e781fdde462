//! Which system it is: os-release(5).

use tree::Tree;

use crate::Result;

/// Where it may be, the better place first.
pub(crate) const FILES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// What a system says of itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Release {
    pub(crate) id: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) pretty_name: Option<String>,
    pub(crate) cpe: Option<String>,
}

impl Release {
    pub(crate) fn read(tree: &Tree) -> Result<Self> {
        match FILES.iter().find(|path| tree.is_file(path)) {
            Some(path) => Ok(Self::parse(&tree.read_text(path)?)),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Self {
        let get = |name: &str| {
            let line = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            let value = text.lines().filter_map(line).next_back()?;
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            Some(value).filter(|value| !value.is_empty())
        };
        Self {
            id: get("ID"),
            version: get("VERSION_ID"),
            pretty_name: get("PRETTY_NAME"),
            cpe: get("CPE_NAME"),
        }
    }

    /// `debian-12`, as package URLs have it.
    pub(crate) fn distro(&self) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(match &self.version {
            Some(version) => format!("{id}-{version}"),
            None => id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_are_taken_off() {
        let release = Release::parse("PRETTY_NAME=\"Debian 12\"\nID=debian\nVERSION_ID='12'\n");
        assert_eq!(release.distro().as_deref(), Some("debian-12"));
        assert_eq!(release.pretty_name.as_deref(), Some("Debian 12"));
        assert_eq!(Release::parse("").distro(), None);
    }
}
