//! TLS whose settings are read when the first server asks for it.
//!
//! The authorities of a machine are hundreds of files: who downloads without TLS shall not wait for them.

use std::sync::OnceLock;

use ureq::config::Config;
use ureq::unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, Transport};
use ureq::{Agent, Error};

use crate::access::Access;
use crate::machine::Machine;
use crate::proxy::with;

/// Wraps the connections that need it.
#[derive(Debug)]
pub(crate) struct Tls {
    access: Access,
    machine: Machine,
    config: OnceLock<Result<Config, Unusable>>,
    inner: RustlsConnector,
}

/// The settings make no sense.
#[derive(Debug, Clone)]
pub(crate) struct Unusable(String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

impl Tls {
    pub(crate) fn new(access: Access, machine: Machine) -> Self {
        Self {
            access,
            machine,
            config: OnceLock::new(),
            inner: RustlsConnector::default(),
        }
    }

    fn config(&self) -> Result<&Config, Error> {
        let read = || {
            let tls = self.access.tls(&self.machine).map_err(Unusable)?;
            Ok(Agent::config_builder().tls_config(tls).build())
        };
        let config = self.config.get_or_init(read).as_ref();
        config.map_err(|unusable| Error::Other(unusable.clone().into()))
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let has_tls = chained.as_ref().is_some_and(Transport::is_tls);
        if !details.needs_tls() || has_tls {
            return self.inner.connect(details, chained);
        }
        let details = with(details, details.uri, self.config()?)?;
        self.inner.connect(&details, chained)
    }
}
