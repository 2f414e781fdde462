//! A source of packages: a stanza of a `.sources` file.

use module::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// A source: the packages of some suites at some addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of its file, without `.sources`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,240}$"))]
    pub name: String,
    /// What it is, for people.
    description: Option<String>,
    /// Whether it is used.
    #[serde(default = "yes")]
    enabled: bool,
    /// Binary packages, source packages, or both.
    #[serde(default = "binary")]
    #[schemars(length(min = 1), inner(regex(pattern = "^deb(-src)?$")))]
    types: Vec<String>,
    /// Addresses of the archive.
    #[schemars(length(min = 1))]
    uris: Vec<String>,
    /// Suites, such as `trixie` and `trixie-updates`; a path that ends in `/` for an archive without suites.
    #[schemars(length(min = 1))]
    suites: Vec<String>,
    /// Components, such as `main`; none where the suite is a path.
    #[serde(default)]
    components: Vec<String>,
    /// Architectures; those of the system unless given.
    #[serde(default)]
    architectures: Vec<String>,
    /// Languages of the descriptions that are downloaded.
    #[serde(default)]
    languages: Vec<String>,
    /// Whose signature it must bear: the path of a keyring, or an armored key itself.
    #[serde(rename = "signed-by")]
    signed_by: Option<String>,
    /// Whether it is trusted without a signature.
    trusted: Option<bool>,
}

fn yes() -> bool {
    true
}

fn binary() -> Vec<String> {
    vec!["deb".into()]
}

impl Source {
    /// The stanza, checked as apt would.
    pub fn stanza(&self) -> Result<String> {
        ensure!(
            self.suites.iter().all(|suite| suite.ends_with('/')) == self.components.is_empty(),
            "a suite needs `components`, a path (it ends in /) has none"
        );
        let words = [
            ("Types", &self.types),
            ("URIs", &self.uris),
            ("Suites", &self.suites),
            ("Components", &self.components),
            ("Architectures", &self.architectures),
            ("Languages", &self.languages),
        ];
        let mut text = String::new();
        if let Some(description) = &self.description {
            text.push_str(&field("X-Repolib-Name", description)?);
        }
        if !self.enabled {
            text.push_str("Enabled: no\n");
        }
        for (name, words) in words.iter().filter(|(_, words)| !words.is_empty()) {
            ensure!(
                words
                    .iter()
                    .all(|word| !word.is_empty() && !word.contains(char::is_whitespace)),
                "{name}: each item is one word"
            );
            text.push_str(&field(name, &words.join(" "))?);
        }
        if let Some(trusted) = self.trusted {
            text.push_str(&field("Trusted", if trusted { "yes" } else { "no" })?);
        }
        text.push_str(&self.signature()?);
        Ok(text)
    }

    fn signature(&self) -> Result<String> {
        let Some(key) = self.signed_by.as_deref().map(str::trim) else {
            return Ok(String::new());
        };
        if !key.contains('\n') {
            return field("Signed-By", key);
        }
        ensure!(
            key.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"),
            "`signed-by` is neither a path nor an armored public key"
        );
        let mut text = "Signed-By:\n".to_owned();
        for line in key.lines().map(str::trim_end) {
            // an empty line would end the stanza
            text.push_str(&format!(" {}\n", if line.is_empty() { "." } else { line }));
        }
        Ok(text)
    }
}

/// A field of one line.
pub fn field(name: &str, value: &str) -> Result<String> {
    let value = value.trim();
    ensure!(!value.is_empty(), "{name}: the value is empty");
    ensure!(
        !value.contains(['\n', '\r']),
        "{name}: the value must be one line"
    );
    Ok(format!("{name}: {value}\n"))
}
