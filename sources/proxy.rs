//! Proxies: which one a URL goes through, and how.
//!
//! `http_proxy`, `https_proxy` and `all_proxy` name one for each scheme, `no_proxy` the hosts that are reached
//! directly, each also in capitals; `OSBUILD_SOURCES_CURL_PROXY` is used for every URL. The forms are curl's:
//! `[http|https|socks4|socks4a|socks5|socks5h://][user:password@]host[:port]`.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, SocksConnector, Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

use crate::machine::Machine;

/// The proxies of the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<String>,
}

/// Opens connections through the proxies; what needs none is left to the next connector.
#[derive(Debug)]
pub(crate) struct ProxyConnector {
    pub(crate) proxies: Proxies,
    /// The configuration of the agent, with the proxy of each scheme set.
    pub(crate) http: ureq::config::Config,
    pub(crate) https: ureq::config::Config,
}

impl Proxies {
    pub(crate) fn of(machine: &Machine) -> Result<Self, String> {
        let read = |names: &[&str]| {
            let found = names.iter().find_map(|n| Some((*n, machine.var(n)?)));
            let Some((name, value)) = found else {
                return Ok(None);
            };
            Proxy::new(value)
                .map(Some)
                .map_err(|_| format!("the environment's {name} is not the address of a proxy"))
        };
        let all = read(&["OSBUILD_SOURCES_CURL_PROXY"])?;
        let fallback = read(&["all_proxy", "ALL_PROXY"])?;
        let (http, https) = match all {
            Some(proxy) => (Some(proxy.clone()), Some(proxy)),
            None => (
                read(&["http_proxy", "HTTP_PROXY"])?.or(fallback.clone()),
                read(&["https_proxy", "HTTPS_PROXY"])?.or(fallback),
            ),
        };
        let except = machine.var("no_proxy").or(machine.var("NO_PROXY")).unwrap_or("");
        let except = except.split([',', ' ']).filter(|e| !e.is_empty());
        Ok(Self {
            http,
            https,
            except: except.map(str::to_ascii_lowercase).collect(),
        })
    }

    pub(crate) fn http(&self) -> Option<&Proxy> {
        self.http.as_ref()
    }

    pub(crate) fn https(&self) -> Option<&Proxy> {
        self.https.as_ref()
    }

    /// The proxy for a URL.
    pub(crate) fn of_url(&self, url: &Uri) -> Option<&Proxy> {
        let proxy = match url.scheme_str() {
            Some("https") => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let host = url.host().unwrap_or("");
        // the way to a proxy itself leads through none
        let is_it = |p: &Proxy| p.uri().authority() == url.authority();
        let direct = [&self.http, &self.https].into_iter().flatten().any(is_it)
            || self.except.iter().any(|e| excepted(e, host, url.port_u16()));
        (!direct).then_some(proxy)
    }
}

/// Whether `entry` of `no_proxy` means the host: `*`, a name, which stands for what is below it as well, an
/// address, or a network such as `10.0.0.0/8`; a name or an address may have a port.
fn excepted(entry: &str, host: &str, port: Option<u16>) -> bool {
    let host = host
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return within(network, bits, &host).unwrap_or(false);
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, p)) if !name.contains(':') || name.ends_with(']') => (name, p.parse::<u16>().ok()),
        _ => (entry, None),
    };
    let name = name.trim_matches(['[', ']']).trim_start_matches('*');
    let name = name.trim_start_matches('.').trim_end_matches('.');
    (only.is_none() || only == port)
        && !name.is_empty()
        && (host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

fn within(network: &str, bits: &str, host: &str) -> Option<bool> {
    let bits: u32 = bits.parse().ok()?;
    let (network, host, width) = match (network.parse().ok()?, host.parse().ok()?) {
        (IpAddr::V4(n), IpAddr::V4(h)) => (n.to_bits().into(), h.to_bits().into(), 32),
        (IpAddr::V6(n), IpAddr::V6(h)) => (n.to_bits(), h.to_bits(), 128),
        _ => return Some(false),
    };
    let differ: u128 = network ^ host;
    Some(bits == 0 || differ.checked_shr(width - bits.min(width)).unwrap_or(0) == 0)
}

impl<In: Transport> Connector<In> for ProxyConnector {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Box::new(transport)));
        }
        let Some(proxy) = self.proxies.of_url(details.uri) else {
            return Ok(None);
        };
        let plain = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        if plain && !details.needs_tls() {
            return Ok(Some(Box::new(Forward {
                inner: (details.run_connector)(&with(details, proxy.uri(), details.config)?)?,
                target: target(details.uri),
                credentials: credentials(proxy),
            })));
        }
        let config = if details.needs_tls() {
            &self.https
        } else {
            &self.http
        };
        let details = with(details, details.uri, config)?;
        if plain {
            let tunnel = ConnectProxyConnector::default().connect(&details, None::<()>)?;
            Ok(tunnel.map(|t| Box::new(t) as Box<dyn Transport>))
        } else {
            let socks = SocksConnector::default().connect(&details, None::<()>)?;
            Ok(socks.map(|t| Box::new(t) as Box<dyn Transport>))
        }
    }
}

/// The same connection with another end or configuration.
pub(crate) fn with<'a>(
    details: &'a ConnectionDetails<'a>,
    uri: &'a Uri,
    config: &'a ureq::config::Config,
) -> Result<ConnectionDetails<'a>, Error> {
    let addrs = if uri == details.uri {
        details.addrs.clone()
    } else {
        details.resolver.resolve(uri, config, details.timeout)?
    };
    Ok(ConnectionDetails {
        uri,
        addrs,
        config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    })
}

/// A connection to a proxy that is asked for whole URLs (RFC 9112 §3.2.2). Most proxies tunnel (`CONNECT`, which is
/// all that ureq knows) to the port of https only.
#[derive(Debug)]
struct Forward {
    inner: Box<dyn Transport>,
    /// What stands before the path: `http://host:port`.
    target: String,
    credentials: Option<String>,
}

fn target(url: &Uri) -> String {
    let authority = url.authority().map_or("", |a| a.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("http://{host}")
}

fn credentials(proxy: &Proxy) -> Option<String> {
    if proxy.username().is_none() && proxy.password().is_none() {
        return None;
    }
    let (user, password) = (
        proxy.username().unwrap_or_default(),
        proxy.password().unwrap_or_default(),
    );
    Some(BASE64_STANDARD.encode(format!("{user}:{password}")))
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let head = &output[..amount];
        let mut amount = amount;
        if head.starts_with(b"GET /")
            && let Some(end) = head.windows(2).position(|w| w == b"\r\n")
        {
            let mut new = format!("GET {}", self.target).into_bytes();
            new.extend_from_slice(&head[4..end + 2]);
            if let Some(credentials) = &self.credentials {
                new.extend_from_slice(format!("Proxy-Authorization: Basic {credentials}\r\n").as_bytes());
            }
            new.extend_from_slice(&head[end + 2..]);
            amount = new.len();
            let too_long = || Error::BadUri("the URL is too long for a proxy".into());
            output
                .get_mut(..amount)
                .ok_or_else(too_long)?
                .copy_from_slice(&new);
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(env: &[(&str, &str)]) -> Proxies {
        let env = env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Proxies::of(&Machine {
            env,
            root: "/nonexistent".into(),
            limits: Default::default(),
        })
        .unwrap()
    }

    fn port_for(proxies: &Proxies, url: &str) -> Option<u16> {
        proxies.of_url(&url.parse().unwrap()).map(Proxy::port)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let p = proxies(&[
            ("http_proxy", "http://p:1"),
            ("ALL_PROXY", "socks5h://p:2"),
            ("no_proxy", "example.com, 10.0.0.0/8 [::1]:81"),
        ]);
        assert_eq!(port_for(&p, "http://a/"), Some(1));
        assert_eq!(port_for(&p, "https://a/"), Some(2));
        assert_eq!(port_for(&p, "http://p:1/"), None);
        assert_eq!(port_for(&p, "http://sub.Example.com:90/"), None);
        assert_eq!(port_for(&p, "http://badexample.com/"), Some(1));
        assert_eq!(port_for(&p, "http://10.200.3.4/"), None);
        assert_eq!(port_for(&p, "http://11.200.3.4/"), Some(1));
        assert_eq!(port_for(&p, "http://[::1]:81/"), None);
        assert_eq!(port_for(&p, "http://[::1]:82/"), Some(1));
        let p = proxies(&[
            ("http_proxy", "http://p:1"),
            ("OSBUILD_SOURCES_CURL_PROXY", "p:3"),
            ("no_proxy", "*.x,.y"),
        ]);
        assert_eq!(port_for(&p, "http://a/"), Some(3));
        assert_eq!(port_for(&p, "http://a.x/"), None);
        assert_eq!(port_for(&p, "http://a.y/"), None);
        assert_eq!(port_for(&proxies(&[]), "http://a/"), None);
        assert_eq!(
            port_for(&proxies(&[("all_proxy", "p"), ("no_proxy", "*")]), "http://a/"),
            None
        );
    }

    #[test]
    fn the_target_has_no_password() {
        assert_eq!(target(&"http://u:p@h:8/x".parse().unwrap()), "http://h:8");
    }
}
