//! One request: a URL, from some byte on, to a reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use direct::{Input, Reader};
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Error, Timeout};

use crate::access::Access;
use crate::machine::Machine;
use crate::pool::Stop;
use crate::proxy::{Proxies, ProxyConnector};
use crate::resolver::{CachingResolver, Named};
use crate::tls::{Tls, Unusable};

/// Makes requests, over connections that are kept.
pub(crate) struct Client {
    machine: Machine,
    stop: Stop,
    connections: usize,
    agents: Mutex<BTreeMap<Access, Agent>>,
    named: Named,
}

/// The answer to a request.
pub(crate) struct Answer {
    /// The byte the body starts at: the one asked for, or 0.
    pub(crate) start: u64,
    pub(crate) body: Box<dyn Read + Send>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Asking again will not help.
    Final(String),
    /// The server was not reached.
    Unreachable(String),
    /// It may go better the next time.
    Passing(String),
    /// Nothing came for too long.
    Stalled(String),
    /// The part asked for is not there.
    Range,
    /// This machine's own trouble: every other item will have it too.
    Local(String),
    Stopped,
}

impl Fault {
    /// What is to be said of it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Final(s) | Self::Unreachable(s) | Self::Passing(s) | Self::Stalled(s) | Self::Local(s) => s,
            Self::Range => "the server sends another part than the one asked for",
            Self::Stopped => "interrupted",
        }
    }
}

impl Client {
    /// A client that keeps so many connections to a host.
    pub(crate) fn new(machine: Machine, stop: Stop, connections: usize) -> Self {
        Self {
            machine,
            stop,
            connections,
            agents: Mutex::default(),
            named: Named::default(),
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Ends what is under way in all threads.
    pub(crate) fn shutdown(&self) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        for agent in std::mem::take(&mut *agents).into_values() {
            agent.shutdown();
        }
    }

    /// Asks for `url` from byte `start` on.
    pub(crate) fn get(&self, url: &str, access: &Access, start: u64) -> Result<Answer, Fault> {
        if let Some(path) = url.strip_prefix("file://") {
            return local(path, start);
        }
        let uri: Uri = encoded(url)
            .parse()
            .map_err(|e| Fault::Final(format!("it is not a URL: {e}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Fault::Final("its scheme is none of http, https, file".into()));
        }
        self.named.add(uri.host().unwrap_or_default());
        let agent = self.agent(access)?;
        let mut request = agent.get(uri.clone());
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let response = request.call().map_err(|e| self.fault(e, &uri))?;
        let status = response.status();
        let start = match status {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(start) => start,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => {
                return Err(Fault::Range);
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Fault::Passing(format!("the server answers {status}")));
            }
            _ if status.is_server_error() => {
                return Err(Fault::Passing(format!("the server answers {status}")));
            }
            _ => return Err(Fault::Final(format!("the server answers {status}"))),
        };
        Ok(Answer {
            start,
            body: Box::new(response.into_body().into_reader()),
        })
    }

    /// What an error while the body comes means.
    pub(crate) fn broken(&self, error: std::io::Error) -> Fault {
        if self.stop.is_set() {
            return Fault::Stopped;
        }
        let stalled = error
            .get_ref()
            .is_some_and(|e| matches!(e.downcast_ref(), Some(Error::Timeout(_))));
        if stalled || error.kind() == std::io::ErrorKind::TimedOut {
            self.stalled()
        } else {
            Fault::Passing(format!("the transfer broke off: {error}"))
        }
    }

    fn stalled(&self) -> Fault {
        Fault::Stalled(format!("nothing came for {:?}", self.machine.limits.stall))
    }

    fn agent(&self, access: &Access) -> Result<Agent, Fault> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_set() {
            return Err(Fault::Stopped);
        }
        if let Some(agent) = agents.get(access) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(access).map_err(Fault::Final)?;
        agents.insert(access.clone(), agent.clone());
        Ok(agent)
    }

    fn new_agent(&self, access: &Access) -> Result<Agent, String> {
        let proxies = Proxies::of(&self.machine)?;
        let limits = &self.machine.limits;
        let config = |proxy: Option<&ureq::Proxy>| {
            Agent::config_builder()
                .proxy(proxy.cloned())
                .http_status_as_error(false)
                .user_agent(concat!("osbuild/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .timeout_resolve(Some(limits.resolve))
                .timeout_connect(Some(limits.connect))
                .timeout_per_read(Some(limits.stall))
                .timeout_per_write(Some(limits.stall))
                .max_idle_connections(4 * self.connections)
                .max_idle_connections_per_host(self.connections)
                .build()
        };
        let connector = ProxyConnector {
            http: config(proxies.http()),
            https: config(proxies.https()),
            proxies: proxies.clone(),
        };
        let tls = Tls::new(access.clone(), self.machine.clone());
        let connector = ().chain(connector).chain(TcpConnector::default()).chain(tls);
        // no proxy here: the connector chooses one for each URL, also after a redirection
        Ok(Agent::with_parts(
            config(None),
            connector,
            CachingResolver::new(proxies, self.named.clone()),
        ))
    }

    /// What an error before the body comes means.
    fn fault(&self, error: Error, uri: &Uri) -> Fault {
        use std::io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut,
        };
        if self.stop.is_set() {
            return Fault::Stopped;
        }
        match error {
            Error::Io(e) if tls_error(&e) => Fault::Final(tls_message(&e.to_string())),
            Error::Io(e)
                if matches!(
                    e.kind(),
                    AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut
                ) =>
            {
                Fault::Unreachable(self.unreachable(uri, &e.to_string()))
            }
            Error::Timeout(Timeout::Connect) => {
                let text = format!("no answer within {:?}", self.machine.limits.connect);
                Fault::Unreachable(self.unreachable(uri, &text))
            }
            Error::ConnectProxyFailed(text) => Fault::Unreachable(self.unreachable(uri, &text)),
            Error::Other(e) if e.is::<Unusable>() => Fault::Final(e.to_string()),
            // of our resolver
            Error::Other(e) => Fault::Unreachable(self.unreachable(uri, &e.to_string())),
            Error::Timeout(_) => self.stalled(),
            Error::Io(e) => Fault::Passing(format!("the transfer broke off: {e}")),
            Error::Protocol(e) => Fault::Passing(format!("the server does not speak HTTP: {e}")),
            Error::Rustls(e) => Fault::Final(tls_message(&e.to_string())),
            Error::TooManyRedirects => Fault::Final("it redirects too often".into()),
            e => Fault::Final(e.to_string()),
        }
    }

    fn unreachable(&self, uri: &Uri, cause: &str) -> String {
        let port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let (host, port) = (uri.host().unwrap_or(""), uri.port_u16().unwrap_or(port));
        let through = Proxies::of(&self.machine).ok();
        let through = through.as_ref().and_then(|proxies| proxies.of_url(uri));
        let through = through.map_or(String::new(), |p| {
            format!(" through the proxy {}:{}", p.host(), p.port())
        });
        format!("cannot connect to {host}:{port}{through}: {cause}")
    }
}

/// A file of this machine. No other: a host name is refused (RFC 8089).
fn local(path: &str, start: u64) -> Result<Answer, Fault> {
    let Some(path) = path.strip_prefix("localhost").unwrap_or(path).strip_prefix('/') else {
        return Err(Fault::Final(
            "it names another host; file:// has three slashes".into(),
        ));
    };
    let path = PathBuf::from(decoded(&format!("/{path}")));
    let cannot = |e: std::io::Error| Fault::Final(format!("cannot read {}: {e}", path.display()));
    let mut file = File::open(&path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Fault::Final(format!("{} is not a regular file", path.display())));
    }
    if start > metadata.len() {
        return Err(Fault::Range);
    }
    if metadata.len() >= direct::LARGE {
        return Ok(Answer {
            start,
            body: Box::new(Input::new(Reader::new(file), start)),
        });
    }
    file.seek(SeekFrom::Start(start)).map_err(cannot)?;
    Ok(Answer {
        start,
        body: Box::new(file),
    })
}

fn decoded(path: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escape = bytes.get(i + 1..i + 3).filter(|_| bytes[i] == b'%');
        match escape.and_then(|hex| hex::decode(hex).ok()) {
            Some(byte) => {
                out.extend(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out)
}

/// Escapes what no URL may hold, such as the `^` of some package names (RFC 3986 §2), and leaves off the fragment.
fn encoded(url: &str) -> String {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The first byte of a `Content-Range: bytes 10-20/30`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    value
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .trim()
        .parse()
        .ok()
}

fn tls_error(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<rustls::Error>())
}

fn tls_message(text: &str) -> String {
    format!("TLS: {text} (SSL_CERT_FILE or OSBUILD_SOURCES_CURL_SSL_CA_CERT name other authorities to trust)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped() {
        assert_eq!(encoded("http://h/a b^é%20+~#x"), "http://h/a%20b%5E%C3%A9%20+~");
        assert_eq!(decoded("/a%20b%zz%"), "/a b%zz%");
    }

    #[test]
    fn a_range_has_a_start() {
        let mut headers = HeaderMap::new();
        assert_eq!(range_start(&headers), None);
        headers.insert(header::CONTENT_RANGE, "bytes 10-20/30".parse().unwrap());
        assert_eq!(range_start(&headers), Some(10));
    }
}
