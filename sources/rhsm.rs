//! The certificates of a Red Hat subscription.
//!
//! subscription-manager writes `/etc/yum.repos.d/redhat.repo`, whose sections name a `baseurl` with variables and the
//! `sslcacert`, `sslclientcert` and `sslclientkey` for it, and `/etc/pki/entitlement/ID.pem` with `ID-key.pem`.

use std::path::PathBuf;

use crate::access::Identity;
use crate::machine::Machine;

const REPOSITORIES: &str = "/etc/yum.repos.d/redhat.repo";
const ENTITLEMENTS: &str = "/etc/pki/entitlement";
const AUTHORITIES: &str = "/etc/rhsm/ca/redhat-uep.pem";

/// The certificate for `url`: that of the repository it lies in, else the machine's first.
pub(crate) fn identity(machine: &Machine, url: &str) -> Result<Identity, String> {
    let text = std::fs::read_to_string(machine.path(REPOSITORIES)).unwrap_or_default();
    of_repository(machine, &text, url).or_else(|| any(machine)).ok_or_else(|| {
        format!(
            "the secrets org.osbuild.rhsm need a subscribed machine: neither {REPOSITORIES} nor {ENTITLEMENTS} has a certificate"
        )
    })
}

fn of_repository(machine: &Machine, text: &str, url: &str) -> Option<Identity> {
    text.split("\n[").find_map(|section| {
        let value = |key: &str| {
            section
                .lines()
                .filter_map(|line| line.split_once('='))
                .find_map(|(k, v)| (k.trim() == key).then_some(v.trim()))
                .filter(|v| !v.is_empty())
        };
        if !below(url, value("baseurl")?) {
            return None;
        }
        Some(Identity {
            certificate: machine.path(value("sslclientcert")?),
            key: machine.path(value("sslclientkey")?),
            authorities: value("sslcacert").map(|path| machine.path(path)),
        })
    })
}

/// Whether `url` lies below `base`, of whose parts those with a `$` stand for anything.
fn below(url: &str, base: &str) -> bool {
    let mut parts = url.split('/');
    base.trim_end_matches('/').split('/').all(|want| {
        parts
            .next()
            .is_some_and(|part| part == want || want.contains('$'))
    })
}

fn any(machine: &Machine) -> Option<Identity> {
    let dir = std::fs::read_dir(machine.path(ENTITLEMENTS)).ok()?;
    let mut keys: Vec<PathBuf> = dir.flatten().map(|entry| entry.path()).collect();
    keys.sort();
    keys.iter().find_map(|key| {
        let id = key.file_name()?.to_str()?.strip_suffix("-key.pem")?;
        let authorities = machine.path(AUTHORITIES);
        Some(Identity {
            certificate: key.with_file_name(format!("{id}.pem")),
            key: key.clone(),
            authorities: authorities.exists().then_some(authorities),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPO: &str = "# made by a tool\n[base]\nname = Base\nbaseurl = https://cdn.example.com/content/dist/rhel9/$releasever/$basearch/baseos/os\nsslcacert = /etc/rhsm/ca/x.pem\nsslclientkey = /etc/pki/entitlement/1-key.pem\nsslclientcert = /etc/pki/entitlement/1.pem\n\n[other]\nbaseurl = https://cdn.example.com/other\nsslclientkey = /k\nsslclientcert = /c\n";

    #[test]
    fn the_certificate_is_that_of_the_repository() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine {
            root: root.path().into(),
            env: Default::default(),
            limits: Default::default(),
        };
        let url = "https://cdn.example.com/content/dist/rhel9/9.4/x86_64/baseos/os/Packages/a.rpm";
        assert!(identity(&machine, url).unwrap_err().contains(REPOSITORIES));

        std::fs::create_dir_all(root.path().join("etc/yum.repos.d")).unwrap();
        std::fs::write(machine.path(REPOSITORIES), REPO).unwrap();
        let found = identity(&machine, url).unwrap();
        assert_eq!(found.key, root.path().join("etc/pki/entitlement/1-key.pem"));
        assert_eq!(found.authorities, Some(root.path().join("etc/rhsm/ca/x.pem")));
        let other = identity(&machine, "https://cdn.example.com/other/b.rpm").unwrap();
        assert_eq!(other.certificate, root.path().join("c"));

        let far = "https://elsewhere.example.com/b.rpm";
        assert!(identity(&machine, far).is_err());
        std::fs::create_dir_all(machine.path(ENTITLEMENTS)).unwrap();
        std::fs::write(machine.path(ENTITLEMENTS).join("7-key.pem"), "").unwrap();
        let found = identity(&machine, far).unwrap();
        assert!(found.certificate.ends_with("7.pem"));
    }
}
