//! The repositories of the building machine as the installed system has them.

use super::{Repository, keys, reachable_uris};
use crate::distro::Family;

/// Those that another machine can reach, each with a key that the image has: the distribution's keyring, or the key
/// itself. One whose key cannot be had is left out.
pub fn installed(repositories: &[Repository], family: Family) -> Vec<Repository> {
    let mut found = Vec::new();
    for repository in repositories {
        let Some(signed_by) = key(repository, family) else {
            continue;
        };
        for uri in reachable_uris(&repository.uri) {
            let one = Repository {
                id: None,
                uri,
                suites: repository.suites.clone(),
                components: repository.components.clone(),
                signed_by: Some(signed_by.clone()),
                trusted: false,
                fields: Vec::new(),
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

fn key(repository: &Repository, family: Family) -> Option<String> {
    let keyring = || Some(family.keyring().to_owned());
    match repository.signed_by.as_deref().map(str::trim_end) {
        Some(key) if key.contains('\n') => Some(key.to_owned()),
        // newer releases have it under both endings
        Some(path) if stem(path) == stem(family.keyring()) => keyring(),
        Some(path) if path.starts_with('/') && !path.contains(' ') => {
            let bytes = std::fs::read(path).ok()?;
            Some(keys::as_field(&bytes))
        }
        // fingerprints, and the distribution's own without a key named
        _ if repository.id.is_none() => keyring(),
        _ => None,
    }
}

/// The path of a keyring without the ending that keyrings have.
fn stem(path: &str) -> &str {
    let endings = [".gpg", ".pgp"].iter();
    endings
        .filter_map(|ending| path.strip_suffix(ending))
        .next()
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_keyring_is_known_by_both_endings() {
        let path = "/usr/share/keyrings/debian-archive-keyring.pgp";
        let repository = repository("http://a.example/debian", None, Some(path));
        let keyring = Some(Family::Debian.keyring().to_owned());
        assert_eq!(key(&repository, Family::Debian), keyring);
    }

    fn repository(uri: &str, id: Option<&str>, signed_by: Option<&str>) -> Repository {
        Repository {
            id: id.map(str::to_owned),
            uri: uri.into(),
            signed_by: signed_by.map(str::to_owned),
            ..Repository::default()
        }
    }

    #[test]
    fn what_others_cannot_use_stays_here() {
        let repositories = [
            repository("http://a.example/debian", None, None),
            repository("file:///srv/debian", Some("repo"), Some("\n KEY")),
            repository("http://b.example/debian", Some("other-1"), None),
            repository("http://c.example/debian", Some("repo"), Some("\n KEY")),
        ];
        let found = installed(&repositories, Family::Debian);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.uri.as_str(), one.signed_by.as_deref().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("http://a.example/debian", Family::Debian.keyring()),
                ("http://c.example/debian", "\n KEY"),
            ]
        );
    }
}
