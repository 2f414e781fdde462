//! A web server that also misbehaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is answered on a path.
#[derive(Debug, Clone)]
pub enum Reply {
    /// All of it, or the range that was asked for.
    Content(Vec<u8>),
    /// All of it, said to be of this media type.
    Typed(Vec<u8>, &'static str),
    /// This status, such as 404, and no content.
    Status(u16),
    /// So many bytes of the content, then the connection is closed.
    Cut(Vec<u8>, usize),
    /// So many bytes of the content once; from then on all of it, or the range that was asked for.
    CutOnce(Vec<u8>, usize),
    /// Nothing at all, for as long as the client waits.
    Silence,
    /// So many bytes of the content, then nothing for as long as the client waits.
    Stall(Vec<u8>, usize),
}

/// Serves until it is dropped, each connection in a thread of its own, one request a connection.
#[derive(Debug)]
pub struct Httpd {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    asked: Receiver<String>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: BTreeMap<String, Reply>,
    requests: Vec<String>,
    ranges: Vec<Option<usize>>,
    ended: bool,
}

impl Httpd {
    /// Serves these paths (with a leading slash); all others are 404.
    ///
    /// # Panics
    /// No port can be had.
    pub fn serve(replies: impl IntoIterator<Item = (String, Reply)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a local port can be had");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Mutex::new(Shared {
            replies: replies.into_iter().collect(),
            ..Shared::default()
        }));
        let to_serve = Arc::clone(&shared);
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&to_serve);
                if lock(&shared).ended {
                    return;
                }
                let sender = sender.clone();
                // a client that has gone away is its own affair
                std::thread::spawn(move || answer(stream, &shared, &sender));
            }
        });
        Self {
            address,
            shared,
            asked,
        }
    }

    /// The address of a path (with a leading slash).
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes what is answered on a path.
    pub fn set(&self, path: &str, reply: Reply) {
        lock(&self.shared).replies.insert(path.to_owned(), reply);
    }

    /// Waits for the next request that was not waited for: its path.
    ///
    /// # Panics
    /// None comes within `limit`.
    pub fn next_request(&self, limit: Duration) -> String {
        let path = self.asked.recv_timeout(limit);
        path.unwrap_or_else(|_| panic!("within {limit:?} nothing was asked for"))
    }

    /// The paths that were asked for, in order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared).requests.clone()
    }

    /// From which byte on each request wanted the content.
    pub fn ranges(&self) -> Vec<Option<usize>> {
        lock(&self.shared).ranges.clone()
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        lock(&self.shared).ended = true;
        // wakes the listener, which then sees that it is over
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(mut stream: TcpStream, shared: &Mutex<Shared>, asked: &Sender<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut from = None;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let reply = {
        let mut shared = lock(shared);
        shared.requests.push(path.clone());
        // nobody need listen
        let _ = asked.send(path.clone());
        shared.ranges.push(from);
        let reply = shared.replies.get(&path).cloned().unwrap_or(Reply::Status(404));
        if let Reply::CutOnce(content, _) = &reply {
            let whole = Reply::Content(content.clone());
            shared.replies.insert(path, whole);
        }
        reply
    };
    match reply {
        Reply::Status(status) => head(&mut stream, &format!("{status} Status"), 0, ""),
        Reply::Cut(content, length) | Reply::CutOnce(content, length) => {
            head(&mut stream, "200 OK", content.len(), "")?;
            stream.write_all(&content[..length.min(content.len())])
        }
        Reply::Typed(content, kind) => {
            let kind = format!("Content-Type: {kind}\r\n");
            head(&mut stream, "200 OK", content.len(), &kind)?;
            stream.write_all(&content)
        }
        Reply::Content(content) => match from.filter(|from| *from < content.len()) {
            None => {
                head(&mut stream, "200 OK", content.len(), "")?;
                stream.write_all(&content)
            }
            Some(from) => {
                let total = content.len();
                let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
                head(&mut stream, "206 Partial Content", total - from, &range)?;
                stream.write_all(&content[from..])
            }
        },
        Reply::Silence => stream.read(&mut [0]).map(drop),
        Reply::Stall(content, length) => {
            head(&mut stream, "200 OK", content.len(), "")?;
            stream.write_all(&content[..length.min(content.len())])?;
            stream.read(&mut [0]).map(drop)
        }
    }
}

fn head(stream: &mut TcpStream, status: &str, length: usize, more: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(server: &Httpd, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\n{header}\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn it_serves_and_misbehaves_as_told() {
        let content = b"0123456789".to_vec();
        let server = Httpd::serve([
            ("/a".to_owned(), Reply::Content(content.clone())),
            ("/b".to_owned(), Reply::Cut(content, 4)),
        ]);
        assert!(get(&server, "/a", "").ends_with("\r\n\r\n0123456789"));
        assert!(get(&server, "/a", "Range: bytes=7-\r\n").ends_with("\r\n\r\n789"));
        assert!(get(&server, "/b", "").ends_with("\r\n\r\n0123"));
        assert!(get(&server, "/c", "").starts_with("HTTP/1.1 404"));
        assert_eq!(server.requests(), ["/a", "/a", "/b", "/c"]);
    }
}
