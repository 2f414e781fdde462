//! How a server is met: whom to trust, who to be.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::machine::Machine;
use crate::rhsm;

/// What a download says of its server. Downloads that say the same share connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Access {
    /// Any certificate will do.
    pub(crate) insecure: bool,
    pub(crate) identity: Option<Identity>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The only authorities to trust; those of the machine otherwise.
    pub(crate) authorities: Option<PathBuf>,
}

const CLIENT_KEY: &str = "OSBUILD_SOURCES_CURL_SSL_CLIENT_KEY";
const CLIENT_CERT: &str = "OSBUILD_SOURCES_CURL_SSL_CLIENT_CERT";
const CA_CERT: &str = "OSBUILD_SOURCES_CURL_SSL_CA_CERT";

impl Access {
    /// The access to `url` of an item or a mirror with these members.
    pub(crate) fn new(
        machine: &Machine,
        url: &str,
        insecure: bool,
        secrets: Option<&str>,
    ) -> Result<Self, String> {
        let identity = match secrets {
            None => None,
            Some("org.osbuild.mtls") => Some(mtls(machine)?),
            Some("org.osbuild.rhsm") => Some(rhsm::identity(machine, url)?),
            Some(name) => {
                return Err(format!(
                    "unknown secrets `{name}`: there are org.osbuild.mtls and org.osbuild.rhsm"
                ));
            }
        };
        Ok(Self { insecure, identity })
    }

    /// The TLS settings. Files are read now.
    pub(crate) fn tls(&self, machine: &Machine) -> Result<TlsConfig, String> {
        let mut tls = TlsConfig::builder().disable_verification(self.insecure);
        let only = self.identity.as_ref().and_then(|i| i.authorities.as_deref());
        let roots = match only {
            Some(file) => certificates(file)?,
            None => trusted(machine)?,
        };
        tls = tls.root_certs(RootCerts::new_with_certs(&own(&roots)));
        if let Some(identity) = &self.identity {
            tls = tls.client_cert(Some(client(identity)?));
        }
        Ok(tls.build())
    }
}

fn mtls(machine: &Machine) -> Result<Identity, String> {
    let path = |name| {
        machine.var(name).map(PathBuf::from).ok_or_else(|| {
            format!(
                "the secrets org.osbuild.mtls need the environment variables {CLIENT_KEY} and {CLIENT_CERT}"
            )
        })
    };
    Ok(Identity {
        certificate: path(CLIENT_CERT)?,
        key: path(CLIENT_KEY)?,
        authorities: machine.var(CA_CERT).map(PathBuf::from),
    })
}

/// The authorities the machine trusts, and those of `OSBUILD_SOURCES_CURL_SSL_CA_CERT`.
fn trusted(machine: &Machine) -> Result<Vec<CertificateDer<'static>>, String> {
    let (file, dir) = (machine.var("SSL_CERT_FILE"), machine.var("SSL_CERT_DIR"));
    let mut all = if file.is_some() || dir.is_some() {
        let named = rustls_native_certs::load_certs_from_paths(file.map(Path::new), dir.map(Path::new));
        if let (true, Some(error)) = (named.certs.is_empty(), named.errors.first()) {
            return Err(format!(
                "cannot read the certificates of SSL_CERT_FILE or SSL_CERT_DIR: {error}"
            ));
        }
        named.certs
    } else {
        // none at all is no error yet: the URL may not need them
        rustls_native_certs::load_native_certs().certs
    };
    if let Some(file) = machine.var(CA_CERT) {
        all.extend(certificates(Path::new(file))?);
    }
    Ok(all)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot = |e: &dyn std::fmt::Display| format!("cannot read certificates from {}: {e}", file.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(|e| cannot(&e))?
        .collect();
    match all {
        Ok(all) if all.is_empty() => Err(cannot(&"there are none")),
        Ok(all) => Ok(all),
        Err(e) => Err(cannot(&e)),
    }
}

/// Reads the certificate and its key. ureq panics when they do not fit together, so that is tried here.
fn client(identity: &Identity) -> Result<ClientCert, String> {
    let chain = certificates(&identity.certificate)?;
    let file = identity.key.display();
    let text = std::fs::read(&identity.key).map_err(|e| format!("cannot read the key {file}: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|e| format!("cannot read the key {file}: {e}"))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain.clone(), key, &provider)
        .map_err(|e| format!("{} and {file} do not fit: {e}", identity.certificate.display()))?;
    let key = PrivateKey::from_pem(&text).map_err(|e| format!("cannot read the key {file}: {e}"))?;
    Ok(ClientCert::new_with_certs(&own(&chain), key))
}

fn own(certificates: &[CertificateDer<'static>]) -> Vec<Certificate<'static>> {
    certificates
        .iter()
        .map(|c| Certificate::from_der(c).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(env: &[(&str, &str)]) -> Machine {
        Machine {
            env: env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            root: "/nonexistent".into(),
            limits: Default::default(),
        }
    }

    #[test]
    fn missing_secrets_say_what_is_missing() {
        let access = |secrets| Access::new(&machine(&[]), "https://a/b", false, Some(secrets)).unwrap_err();
        assert!(access("org.osbuild.mtls").contains(CLIENT_KEY));
        assert!(access("org.osbuild.rhsm").contains("redhat.repo"));
        assert!(access("org.osbuild.x").contains("unknown secrets `org.osbuild.x`"));
    }

    #[test]
    fn unreadable_authorities_are_named() {
        let error = Access::default()
            .tls(&machine(&[(CA_CERT, "/nonexistent/ca.pem")]))
            .unwrap_err();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
        let error = Access::default()
            .tls(&machine(&[("SSL_CERT_FILE", "/nonexistent/x.pem")]))
            .unwrap_err();
        assert!(error.contains("SSL_CERT_FILE"), "{error}");
    }
}
