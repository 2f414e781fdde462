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

/// Serves until it is dropped, each connection in a thread of its own. One on which all went well is kept for the next request.
#[derive(Debug)]
pub struct Httpd {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    asked: Receiver<String>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: BTreeMap<String, Arc<Reply>>,
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
            replies: replies
                .into_iter()
                .map(|(path, reply)| (path, Arc::new(reply)))
                .collect(),
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
                std::thread::spawn(move || serve(&stream, &shared, &sender));
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
        lock(&self.shared)
            .replies
            .insert(path.to_owned(), Arc::new(reply));
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

/// Answers what is asked on a connection.
fn serve(stream: &TcpStream, shared: &Mutex<Shared>, asked: &Sender<String>) -> std::io::Result<()> {
    // an answer is one write: nothing is to wait for more of it
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut lines)? {
        if lock(shared).ended || !answer(stream, &request, shared, asked)? || request.is_last {
            break;
        }
    }
    Ok(())
}

struct Request {
    path: String,
    /// The first byte that is wanted.
    from: Option<usize>,
    is_last: bool,
}

impl Request {
    /// The next one; `None` when the client has gone.
    fn read(lines: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut request = Self {
            path: line.split(' ').nth(1).unwrap_or_default().to_owned(),
            from: None,
            // content that a client does not expect would be the next answer to it
            is_last: !line.starts_with("GET ") || line.trim_end().ends_with("HTTP/1.0"),
        };
        loop {
            line.clear();
            lines.read_line(&mut line)?;
            line.make_ascii_lowercase();
            match line.trim_end().split_once(": ") {
                Some(("range", range)) => {
                    let range = range.trim_start_matches("bytes=").trim_end_matches('-');
                    request.from = range.parse().ok();
                }
                Some(("connection", "close")) => request.is_last = true,
                Some(_) => {}
                None => return Ok(Some(request)),
            }
        }
    }
}

/// Whether the connection can be used again.
fn answer(
    mut stream: &TcpStream,
    request: &Request,
    shared: &Mutex<Shared>,
    asked: &Sender<String>,
) -> std::io::Result<bool> {
    let (path, from) = (request.path.clone(), request.from);
    let reply = {
        let mut shared = lock(shared);
        shared.requests.push(path.clone());
        // nobody need listen
        let _ = asked.send(path.clone());
        shared.ranges.push(from);
        let reply = shared.replies.get(&path).cloned();
        let reply = reply.unwrap_or_else(|| Arc::new(Reply::Status(404)));
        if let Reply::CutOnce(content, _) = &*reply {
            let whole = Reply::Content(content.clone());
            shared.replies.insert(path, Arc::new(whole));
        }
        reply
    };
    let mut send = |status: &str, length: usize, more: &str, content: &[u8]| {
        let whole = length == content.len();
        let close = if whole && !request.is_last {
            ""
        } else {
            "Connection: close\r\n"
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}{close}\r\n");
        stream.write_all(&[head.as_bytes(), content].concat())?;
        Ok(whole)
    };
    fn part(content: &[u8], length: usize) -> &[u8] {
        &content[..length.min(content.len())]
    }
    match &*reply {
        Reply::Status(status) => send(&format!("{status} Status"), 0, "", b""),
        Reply::Cut(content, length) | Reply::CutOnce(content, length) => {
            send("200 OK", content.len(), "", part(content, *length))?;
            Ok(false)
        }
        Reply::Typed(content, kind) => {
            let kind = format!("Content-Type: {kind}\r\n");
            send("200 OK", content.len(), &kind, content)
        }
        Reply::Content(content) => match from.filter(|from| *from < content.len()) {
            None => send("200 OK", content.len(), "", content),
            Some(from) => {
                let total = content.len();
                let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
                send("206 Partial Content", total - from, &range, &content[from..])
            }
        },
        Reply::Silence => stream.read(&mut [0]).map(|_| false),
        Reply::Stall(content, length) => {
            send("200 OK", content.len(), "", part(content, *length))?;
            stream.read(&mut [0]).map(|_| false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(server: &Httpd, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{header}\r\n").unwrap();
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

    #[test]
    fn a_connection_is_kept() {
        let server = Httpd::serve([("/a".to_owned(), Reply::Content(b"0123".to_vec()))]);
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream
            .write_all(b"GET /a HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n")
            .unwrap();
        stream.write_all(b"GET /a HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let answers: Vec<_> = text.split("HTTP/1.1 ").collect();
        assert!(
            answers[1].ends_with("0123") && answers[2].starts_with("404") && answers[3].ends_with("0123")
        );
    }
}
