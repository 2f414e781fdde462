//! Repositories of RPM packages.

use std::fmt::Write;

use serde::Deserialize;

/// A repository, as pipelines describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Repository {
    /// Only where repositories are a list.
    pub id: Option<String>,
    /// For people.
    pub name: Option<String>,
    pub baseurl: Option<OneOrMore>,
    pub metalink: Option<String>,
    pub mirrorlist: Option<String>,
    /// The key its packages are signed with: armored, or a file. Several may be given.
    pub gpgkey: Option<OneOrMore>,
    /// The digest of its `repomd.xml`; a time-stamped pin, which resolving makes superfluous.
    pub checksum: Option<String>,
}

/// A text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    /// As a list.
    pub fn list(&self) -> Vec<&str> {
        match self {
            Self::One(text) => vec![text],
            Self::More(list) => list.iter().map(String::as_str).collect(),
        }
    }
}

impl Repository {
    /// Its address and what kind of address that is: the words of the `mirrors` of a source.
    pub fn address(&self) -> Option<(&'static str, String)> {
        if let Some(url) = &self.metalink {
            return Some(("metalink", url.clone()));
        }
        if let Some(url) = &self.mirrorlist {
            return Some(("mirrorlist", url.clone()));
        }
        let list = self.baseurl.as_ref()?.list();
        Some(("baseurl", (*list.first()?).to_owned()))
    }

    /// Gives it this address and no other.
    pub fn set_baseurl(&mut self, url: String) {
        self.baseurl = Some(OneOrMore::One(url));
        self.metalink = None;
        self.mirrorlist = None;
    }

    /// Changes its address.
    pub fn map_address(&mut self, change: impl Fn(&str) -> String) {
        match self.address() {
            Some(("baseurl", url)) => self.set_baseurl(change(&url)),
            Some(("metalink", url)) => self.metalink = Some(change(&url)),
            Some((_, url)) => self.mirrorlist = Some(change(&url)),
            None => {}
        }
    }

    /// Its section in a dnf configuration.
    pub fn section(&self, id: &str) -> String {
        let mut text = format!("[{id}]\nname={id}\nenabled=1\ngpgcheck=0\n");
        if let Some((kind, url)) = self.address() {
            // writing into a string does not fail
            writeln!(text, "{kind}={url}").ok();
        }
        text
    }
}

/// Puts the release and the architecture in the place of `$releasever` and `$basearch`.
pub fn substitute(text: &str, releasever: &str, basearch: &str) -> String {
    let values = [("releasever", releasever), ("basearch", basearch)];
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
            .replace(&format!("${name}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let text = "http://a.example/$releasever/${basearch}/os";
        assert_eq!(substitute(text, "43", "x86_64"), "http://a.example/43/x86_64/os");
    }

    #[test]
    fn a_repository_has_one_address() {
        let repository: Repository =
            serde_json::from_str(r#"{"baseurl": ["http://a", "http://b"]}"#).unwrap();
        assert_eq!(repository.address(), Some(("baseurl", "http://a".into())));
        assert!(
            repository
                .section("x")
                .ends_with("gpgcheck=0\nbaseurl=http://a\n")
        );
        assert_eq!(Repository::default().address(), None);
    }
}
