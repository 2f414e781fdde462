//! Names are looked up once for all the files of a host, and not at all where a proxy does it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::proxy::Proxies;

/// How long an address is used.
const VALID: Duration = Duration::from_secs(60);

/// The hosts that manifests and lists of mirrors name. Where a server redirects to is not among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named(Arc<Mutex<HashSet<String>>>);

impl Named {
    pub(crate) fn add(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains(host) {
            hosts.insert(host.to_owned());
        }
    }

    fn has(&self, host: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(host)
    }
}

/// Whether an address is of the link the machine is on: where clouds tell a machine its secrets, and no server is.
fn is_of_the_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.is_link_local(),
            None => address.is_unicast_link_local(),
        },
    }
}

/// Looks up the addresses of hosts. ureq asks it before every request, also when the connection is there already.
#[derive(Debug)]
pub(crate) struct CachingResolver<R = DefaultResolver> {
    proxies: Proxies,
    named: Named,
    inner: R,
    hosts: Mutex<HashMap<String, Arc<Mutex<Option<Answer>>>>>,
}

#[derive(Debug, Clone)]
struct Answer {
    came: Instant,
    result: Result<ResolvedSocketAddrs, String>,
}

impl CachingResolver {
    pub(crate) fn new(proxies: Proxies, named: Named) -> Self {
        Self::over(DefaultResolver::default(), proxies, named)
    }
}

impl<R: Resolver> CachingResolver<R> {
    fn over(inner: R, proxies: Proxies, named: Named) -> Self {
        Self {
            proxies,
            named,
            inner,
            hosts: Mutex::default(),
        }
    }

    /// The addresses of a host; who asks while another thread is asking gets the same answer, also when it is an
    /// error.
    fn look_up(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, String> {
        let asked = Instant::now();
        let host = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or(""),
            uri.authority().map_or("", |a| a.as_str())
        );
        let slot = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            hosts.entry(host).or_default().clone()
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &*slot {
            let fresh = answer.result.is_ok() && answer.came.elapsed() < VALID;
            if fresh || answer.came >= asked {
                return answer.result.clone();
            }
        }
        let name = uri.host().unwrap_or("");
        let result = self.inner.resolve(uri, config, timeout).map_err(|e| match e {
            Error::Timeout(_) => {
                let limit = config.timeouts().resolve.unwrap_or_default();
                format!("the address of {name} was not found within {limit:?}")
            }
            Error::HostNotFound => format!("{name} has no address"),
            Error::Io(e) => format!("cannot look up {name}: {e}"),
            e => format!("cannot look up {name}: {e}"),
        });
        *slot = Some(Answer {
            came: Instant::now(),
            result: result.clone(),
        });
        result
    }
}

impl<R: Resolver> Resolver for CachingResolver<R> {
    /// A server may not redirect us to an address of the link.
    ///
    /// An error is [`Error::Other`], which tells it from trouble with a connection.
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let refused = |address: IpAddr| {
            let of_the_link =
                is_of_the_link(address) && !self.named.has(host) && !fault::lifted!("link-local");
            let text = || format!("it redirects to {host}, an address of the machine's own link");
            of_the_link.then(|| Error::Other(text().into()))
        };
        let literal = host.trim_matches(['[', ']']).parse().ok();
        if let Some(error) = literal.and_then(refused) {
            return Err(error);
        }
        match self.proxies.of_url(uri) {
            Some(proxy) if !proxy.resolve_target() => Ok(self.empty()),
            _ => {
                let found = self.look_up(uri, config, timeout);
                let found = found.map_err(|text| Error::Other(text.into()))?;
                match found.iter().find_map(|address| refused(address.ip())) {
                    Some(error) => Err(error),
                    None => Ok(found),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how often it is asked; knows only `known`.
    #[derive(Debug)]
    struct Counting(Arc<AtomicUsize>);

    impl Resolver for Counting {
        fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let mut found = self.empty();
            if uri.host() != Some("known") {
                return Err(Error::HostNotFound);
            }
            found.push(([127, 0, 0, 1], 80).into());
            Ok(found)
        }
    }

    #[test]
    fn a_name_is_looked_up_once() {
        let count = Arc::new(AtomicUsize::new(0));
        let resolver = CachingResolver::over(Counting(count.clone()), Proxies::default(), Named::default());
        let config = Config::default();
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (resolver, config, barrier) = (&resolver, &config, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let uri: Uri = format!("http://known/{i}").parse().unwrap();
                    let found = resolver.resolve(&uri, config, NextTimeout::default()).unwrap();
                    assert_eq!(found.len(), 1);
                });
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // an error is not kept
        let unknown: Uri = "http://unknown/".parse().unwrap();
        for _ in 0..2 {
            let error = resolver
                .resolve(&unknown, &config, NextTimeout::default())
                .unwrap_err();
            assert!(error.to_string().contains("unknown has no address"), "{error}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }
}
