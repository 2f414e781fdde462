//! `--repo`: a repository given on the command line.

use std::path::Path;

use super::{Repository, key_field};
use crate::distro::Distro;
use crate::error::{Failure, Result};

/// What holds for every `--repo` that does not say its own.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    pub suites: Vec<String>,
    pub components: Vec<String>,
    pub key: Option<String>,
}

/// Reads `URL[,suite=NAME]…[,component=NAME]…[,key=FILE][,id=NAME][,trusted=yes]`.
///
/// The suite defaults to the distribution's, the component to `main` and the key to the distribution's keyring. A
/// suite that ends in a slash is a flat repository, which has no components.
pub fn parse_repo(text: &str, number: usize, defaults: &Defaults, distro: &Distro) -> Result<Repository> {
    let mut parts = text.split(',');
    let uri = parts.next().unwrap_or_default();
    let uri = uri.strip_prefix("url=").unwrap_or(uri);
    if !uri.contains(":/") || uri.contains(char::is_whitespace) {
        return Err(Failure::input(format!("`--repo {text}`: `{uri}` is no URL"))
            .hint("as in `--repo URL,suite=NAME,component=main,key=FILE`"));
    }
    let mut repository = Repository {
        id: Some(if number == 1 {
            "repo".into()
        } else {
            format!("repo-{number}")
        }),
        uri: uri.trim_end_matches('/').to_owned(),
        ..Repository::default()
    };
    let mut key = None;
    for part in parts {
        let words = |value: &str| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match part.split_once('=') {
            Some(("suite" | "suites", value)) => repository.suites.extend(words(value)),
            Some(("component" | "components", value)) => repository.components.extend(words(value)),
            Some(("key", value)) => key = Some(value.to_owned()),
            Some(("id", value)) if is_id(value) => repository.id = Some(value.to_owned()),
            Some(("trusted", "yes")) => repository.trusted = true,
            _ => {
                return Err(
                    Failure::input(format!("`--repo {text}`: `{part}` is not understood"))
                        .hint("after the URL come suite=, component=, key=, id= and trusted=yes"),
                );
            }
        }
    }
    fill(&mut repository.suites, &defaults.suites, distro.codename);
    if !repository.suites.iter().any(|suite| suite.ends_with('/')) {
        fill(&mut repository.components, &defaults.components, "main");
    }
    if !repository.trusted {
        repository.signed_by = Some(signed_by(key.or_else(|| defaults.key.clone()), text, distro)?);
    }
    Ok(repository)
}

fn fill(list: &mut Vec<String>, defaults: &[String], last: &str) {
    if list.is_empty() {
        list.extend_from_slice(defaults);
    }
    if list.is_empty() {
        list.push(last.to_owned());
    }
}

fn is_id(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !text.is_empty() && text.chars().all(letter)
}

/// The value of `Signed-By`: the key itself, or the distribution's keyring by its path.
fn signed_by(key: Option<String>, text: &str, distro: &Distro) -> Result<String> {
    let Some(key) = key else {
        let keyring = distro.family.keyring();
        if Path::new(keyring).exists() {
            return Ok(keyring.to_owned());
        }
        return Err(
            Failure::input(format!("`--repo {text}` has no key to check it with"))
                .hint("add `key=FILE` with the key it is signed with"),
        );
    };
    key_field(&key).map_err(|failure| Failure::input(format!("`--repo {text}`: {}", failure.message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(text: &str) -> Result<Repository> {
        parse_repo(text, 1, &Defaults::default(), Distro::find("debian-13").unwrap())
    }

    #[test]
    fn a_repository_says_all_it_needs() {
        let found =
            repo("http://a.example/debian/,suite=sid,component=main,component=contrib,trusted=yes,id=mine");
        let found = found.unwrap();
        assert_eq!(found.uri, "http://a.example/debian");
        assert_eq!(found.suites, ["sid"]);
        assert_eq!(found.components, ["main", "contrib"]);
        assert_eq!(found.id.as_deref(), Some("mine"));
        assert!(found.trusted && found.signed_by.is_none());
    }

    #[test]
    fn what_is_not_said_is_the_distributions() {
        let found = repo("file:///srv/debian,trusted=yes").unwrap();
        assert_eq!(
            (found.suites, found.components),
            (vec!["trixie".into()], vec!["main".into()])
        );
        let flat = repo("file:///srv,suite=./,trusted=yes").unwrap();
        assert!(flat.components.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(repo("nowhere").unwrap_err().message.contains("is no URL"));
        assert!(
            repo("http://a.example/,siute=x")
                .unwrap_err()
                .message
                .contains("`siute=x`")
        );
        let failure = repo("http://a.example/,key=/does/not/exist").unwrap_err();
        assert!(failure.message.contains("cannot read the key"), "{failure}");
        assert_eq!(failure.exit_code(), 2);
    }
}
