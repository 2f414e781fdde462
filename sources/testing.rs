//! What the tests share: a store, and a server that misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::machine::{Limits, Machine};
use crate::{Events, Outcome, Request};

/// `sha256:…` of these bytes.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// So many bytes that look like nothing in particular.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

/// A store with a machine of its own. Whatever is seen in it while something is fetched must be whole.
pub(crate) struct Store {
    dir: tempfile::TempDir,
    pub(crate) machine: Machine,
    pub(crate) repos: BTreeMap<String, String>,
    pub(crate) options: Value,
    pub(crate) cancelled: Arc<AtomicBool>,
    /// Set `cancelled` after so many bytes.
    pub(crate) cancel_after: Option<u64>,
    pub(crate) bytes: Mutex<u64>,
    pub(crate) retries: Mutex<Vec<String>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            machine: Machine {
                root: dir.path().join("machine"),
                env: BTreeMap::new(),
                limits: Limits {
                    stall: Duration::from_millis(300),
                    pauses: vec![Duration::from_millis(5); 3],
                    ..Limits::default()
                },
            },
            repos: BTreeMap::new(),
            options: Value::Null,
            cancelled: Arc::default(),
            cancel_after: None,
            bytes: Mutex::default(),
            retries: Mutex::default(),
            dir,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join("sources/org.osbuild.files")
    }

    pub(crate) fn fetch(
        &self,
        items: &[(String, Value)],
        fetch: impl Fn(&Request<'_>, &Machine) -> Outcome,
    ) -> Outcome {
        let request = Request {
            items,
            options: &self.options,
            cache: &self.dir.path().join("sources"),
            repos: &self.repos,
            jobs: 0,
            events: self,
            cancelled: &self.cancelled,
        };
        fetch(&request, &self.machine)
    }

    /// The names of the files that are in.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = list(&self.files());
        names.retain(|name| name != ".partial");
        names
    }

    /// The names of those that are on their way.
    pub(crate) fn partials(&self) -> Vec<String> {
        list(&self.files().join(".partial"))
    }

    pub(crate) fn content(&self, item: &str) -> Vec<u8> {
        std::fs::read(self.files().join(item)).unwrap()
    }

    pub(crate) fn sorted(&self, items: &[(String, Value)]) -> Vec<String> {
        let mut names: Vec<_> = items.iter().map(|(item, _)| item.clone()).collect();
        names.sort();
        names
    }
}

fn list(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Events for Store {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}

    fn bytes(&self, n: u64) {
        for name in self.names() {
            assert_eq!(checksum(&self.content(&name)), name, "a partial file was seen");
        }
        let mut bytes = self.bytes.lock().unwrap();
        *bytes += n;
        if self.cancel_after.is_some_and(|limit| *bytes >= limit) {
            self.cancelled.store(true, Ordering::SeqCst);
        }
    }

    fn done(&self, item: &str) {
        let is_commit = || {
            let (folder, rest) = item.split_at(2);
            let object = format!("sources/org.osbuild.ostree/repo/objects/{folder}/{rest}.commit");
            self.dir.path().join(object).exists()
        };
        assert!(self.names().iter().any(|name| name == item) || is_commit());
    }

    fn retry(&self, message: &str) {
        self.retries.lock().unwrap().push(message.to_owned());
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What stands in the first line between method and version.
    pub(crate) target: String,
    /// The whole head, in small letters.
    pub(crate) head: String,
    pub(crate) start: usize,
    /// How often the same was asked for before.
    pub(crate) before: usize,
}

/// What a server does about it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Sends the content, from where it was asked for.
    Content(Vec<u8>),
    /// Sends the content from its beginning, whatever was asked for, until this byte, then closes.
    Anew(usize, Vec<u8>),
    /// Sends the content from where it was asked for until this byte, then closes.
    Until(usize, Vec<u8>),
    /// The same, but then keeps silent.
    HangAt(usize, Vec<u8>),
    Status(u16),
    /// Another status line and headers, without content.
    Head(String),
    /// Becomes a tunnel to this address.
    Tunnel(String),
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (asked, connections, reply) = (server.asked.clone(), server.connections.clone(), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *connections.lock().unwrap() += 1;
                let (asked, reply) = (asked.clone(), reply.clone());
                std::thread::spawn(move || serve(stream, &asked, &*reply));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A listener whose queue is full: further connections are never answered. With it its address.
pub(crate) fn silent() -> (Vec<Box<dyn Send>>, String) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&socket, 0).unwrap();
    let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    let mut keep: Vec<Box<dyn Send>> = vec![Box::new(socket)];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        keep.push(Box::new(stream));
    }
    (keep, address.to_string())
}

/// An address where nobody listens.
pub(crate) fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<Asked>>, reply: &dyn Fn(&Asked) -> Reply) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let target = head.split(' ').nth(1)?.to_owned();
        let head = head.to_ascii_lowercase();
        let start = head
            .split("range: bytes=")
            .nth(1)
            .and_then(|r| r.split('-').next()?.parse().ok());
        let asked = {
            let mut all = all.lock().unwrap();
            let before = all.iter().filter(|a| a.target == target).count();
            all.push(Asked {
                target,
                head,
                start: start.unwrap_or(0),
                before,
            });
            all.last()?.clone()
        };
        let ranged = |content: &[u8]| match start {
            Some(start) if start >= content.len() => {
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Some(start) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                content.len() - 1,
                content.len(),
                content.len() - start
            ),
            None => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()),
        };
        match reply(&asked) {
            Reply::Content(content) => {
                stream.write_all(ranged(&content).as_bytes()).ok()?;
                stream.write_all(content.get(asked.start..).unwrap_or(&[])).ok()?;
            }
            Reply::Anew(end, content) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&content[..end]).ok()?;
                return None;
            }
            Reply::Until(end, content) => {
                stream.write_all(ranged(&content).as_bytes()).ok()?;
                stream
                    .write_all(content.get(asked.start..end).unwrap_or(&[]))
                    .ok()?;
                return None;
            }
            Reply::HangAt(end, content) => {
                stream.write_all(ranged(&content).as_bytes()).ok()?;
                stream
                    .write_all(content.get(asked.start..end).unwrap_or(&[]))
                    .ok()?;
                // until the other side has had enough
                reader.read_to_end(&mut Vec::new()).ok()?;
                return None;
            }
            Reply::Status(status) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nno\n");
                stream.write_all(head.as_bytes()).ok()?;
            }
            Reply::Head(head) => stream.write_all(head.as_bytes()).ok()?,
            Reply::Tunnel(address) => {
                let mut other = TcpStream::connect(address).ok()?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                let (mut back, mut to) = (other.try_clone().ok()?, stream.try_clone().ok()?);
                std::thread::spawn(move || std::io::copy(&mut back, &mut to));
                std::io::copy(&mut reader, &mut other).ok()?;
                return None;
            }
        }
    }
}
