//! A repository that commits come from, and how its server is met.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::access::{Access, Identity};
use crate::attempts::Location;
use crate::curl::Secrets;
use crate::machine::Machine;

const CLIENT_CERT: &str = "OSBUILD_SOURCES_OSTREE_SSL_CLIENT_CERT";
const CLIENT_KEY: &str = "OSBUILD_SOURCES_OSTREE_SSL_CLIENT_KEY";
const CA_CERT: &str = "OSBUILD_SOURCES_OSTREE_SSL_CA_CERT";
const INSECURE: &str = "OSBUILD_SOURCES_OSTREE_INSECURE";
const PROXY: &str = "OSBUILD_SOURCES_OSTREE_PROXY";

/// The identity of a machine with a Red Hat subscription.
const CONSUMER: [&str; 2] = ["/etc/pki/consumer/cert.pem", "/etc/pki/consumer/key.pem"];

#[derive(Deserialize)]
struct Item {
    remote: Description,
}

#[derive(Deserialize)]
struct Description {
    url: String,
    contenturl: Option<String>,
    #[serde(default)]
    gpgkeys: Vec<String>,
    secrets: Option<Secrets>,
}

/// A repository elsewhere.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) url: String,
    pub(crate) content_url: Option<String>,
    /// Keys, one of which must have signed a commit.
    pub(crate) keys: Vec<String>,
    pub(crate) access: Access,
    /// The authorities to trust, where it is not the machine's.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) proxy: Option<String>,
}

/// The machine with the environment of this source in the place of the general one.
pub(crate) fn machine(machine: &Machine) -> Machine {
    let mut own = machine.clone();
    for (name, general) in [
        (PROXY, "OSBUILD_SOURCES_CURL_PROXY"),
        (CA_CERT, "OSBUILD_SOURCES_CURL_SSL_CA_CERT"),
    ] {
        match machine.var(name) {
            Some(value) => own.env.insert(general.into(), value.into()),
            None => own.env.remove(general),
        };
    }
    own
}

impl Remote {
    /// Reads the description of an item; with it a warning, if there is something to warn of.
    pub(crate) fn of(description: &Value, machine: &Machine) -> Result<(Self, Option<String>), String> {
        let description = Item::deserialize(description)
            .map_err(|e| format!("its description is not that of a remote: {e}"))?
            .remote;
        let authorities = machine.var(CA_CERT).map(PathBuf::from);
        let mut warning = None;
        let identity = match description.secrets.as_ref().map(|secrets| &secrets.name[..]) {
            None => None,
            Some("org.osbuild.mtls") => mtls(machine, authorities.clone())?,
            Some("org.osbuild.rhsm.consumer") => Some(consumer(machine)?),
            Some(other) => {
                // the Python osbuild goes on without a word
                warning = Some(format!(
                    "unknown secrets `{other}` are left out: there are org.osbuild.mtls and org.osbuild.rhsm.consumer"
                ));
                None
            }
        };
        let insecure = machine
            .var(INSECURE)
            .is_some_and(|value| ["true", "yes", "1"].contains(&value.to_ascii_lowercase().as_str()));
        let remote = Self {
            url: description.url,
            content_url: description.contenturl,
            keys: description.gpgkeys,
            access: Access { insecure, identity },
            authorities,
            proxy: machine.var(PROXY).map(str::to_owned),
        };
        Ok((remote, warning))
    }

    /// Whether nothing is wanted that the program `ostree` must do.
    pub(crate) fn is_plain(&self) -> bool {
        let urls = std::iter::once(&self.url).chain(&self.content_url);
        self.keys.is_empty() && urls.into_iter().all(|url| !url.starts_with("mirrorlist="))
    }

    /// A file of the repository.
    pub(crate) fn metadata(&self, path: &str) -> Location {
        self.below(&self.url, path)
    }

    /// A file object of the repository.
    pub(crate) fn content(&self, path: &str) -> Location {
        self.below(self.content_url.as_ref().unwrap_or(&self.url), path)
    }

    fn below(&self, url: &str, path: &str) -> Location {
        Location {
            url: format!("{}/{path}", url.trim_end_matches('/')),
            access: self.access.clone(),
        }
    }
}

fn mtls(machine: &Machine, authorities: Option<PathBuf>) -> Result<Option<Identity>, String> {
    match (machine.var(CLIENT_CERT), machine.var(CLIENT_KEY)) {
        (Some(certificate), Some(key)) => Ok(Some(Identity {
            certificate: certificate.into(),
            key: key.into(),
            authorities,
        })),
        _ => Err(format!(
            "the secrets org.osbuild.mtls need the environment variables {CLIENT_KEY} and {CLIENT_CERT}"
        )),
    }
}

fn consumer(machine: &Machine) -> Result<Identity, String> {
    let [certificate, key] = CONSUMER.map(|path| machine.path(path));
    if !(certificate.exists() && key.exists()) {
        return Err(format!(
            "the secrets org.osbuild.rhsm.consumer need a subscribed machine: there is no {} with its key",
            CONSUMER[0]
        ));
    }
    Ok(Identity {
        certificate,
        key,
        authorities: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(env: &[(&str, &str)]) -> Machine {
        machine(&Machine {
            env: env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            root: "/nonexistent".into(),
            limits: Default::default(),
        })
    }

    fn remote(env: &[(&str, &str)], description: Value) -> Result<(Remote, Option<String>), String> {
        Remote::of(&json!({"remote": description}), &with(env))
    }

    #[test]
    fn secrets_come_from_the_environment() {
        let mtls = json!({"url": "https://h/repo/", "secrets": {"name": "org.osbuild.mtls"}});
        assert!(remote(&[], mtls.clone()).unwrap_err().contains(CLIENT_KEY));
        let env = [
            (CLIENT_CERT, "/c"),
            (CLIENT_KEY, "/k"),
            (CA_CERT, "/a"),
            (INSECURE, "True"),
        ];
        let (found, _) = remote(&env, mtls).unwrap();
        assert!(found.access.insecure);
        let identity = found.access.identity.as_ref().unwrap();
        assert_eq!(identity.authorities.as_deref(), Some("/a".as_ref()));
        assert_eq!(found.metadata("config").url, "https://h/repo/config");

        let consumer = json!({"url": "https://h", "secrets": {"name": "org.osbuild.rhsm.consumer"}});
        assert!(remote(&[], consumer).unwrap_err().contains("/etc/pki/consumer"));
        let other = json!({"url": "https://h", "secrets": {"name": "x"}});
        assert!(remote(&[], other).unwrap().1.unwrap().contains("`x`"));
    }

    #[test]
    fn the_proxy_is_this_sources_own() {
        let curl = "OSBUILD_SOURCES_CURL_PROXY";
        assert_eq!(
            with(&[(PROXY, "http://p"), (curl, "http://q")]).var(curl),
            Some("http://p")
        );
        assert_eq!(with(&[(curl, "http://q")]).var(curl), None);
    }

    #[test]
    fn what_ostree_must_do_is_told_apart() {
        let plain = |description: Value| remote(&[], description).unwrap().0.is_plain();
        assert!(plain(json!({"url": "http://h", "contenturl": "http://c"})));
        assert!(!plain(json!({"url": "http://h", "gpgkeys": ["key"]})));
        assert!(!plain(json!({"url": "mirrorlist=http://h"})));
        assert!(!plain(
            json!({"url": "http://h", "contenturl": "mirrorlist=http://h"})
        ));
    }
}
