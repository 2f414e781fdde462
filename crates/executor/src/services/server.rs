//! A listening socket with any number of clients, served when something has come in.

use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

use super::packet::{self, Packet};

/// More clients than this at once get no answer.
const MOST_CLIENTS: usize = 64;

/// So many packets of a client are taken at a time: one that never stops sending must not keep us from the time limit.
const AT_A_TIME: usize = 64;

/// A socket with a path. It never waits: whoever has it polls [`fds`](Self::fds).
#[derive(Debug)]
pub(crate) struct Server {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

impl Server {
    /// Listens at `name` in `dir`, however long the path of that is.
    pub(crate) fn listen(dir: &Path, name: &str) -> Result<Self> {
        let dir = std::fs::File::open(dir)?;
        let place = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(place)?)?;
        rustix::net::listen(&listener, 16)?;
        Ok(Self {
            listener,
            clients: Vec::new(),
        })
    }

    /// What to poll.
    pub(crate) fn fds<'a>(&'a self, list: &mut Vec<BorrowedFd<'a>>) {
        list.push(self.listener.as_fd());
        list.extend(self.clients.iter().map(AsFd::as_fd));
    }

    /// Takes in new clients, and hands all that has come in to `handle`, whose answer goes back. A client that breaks
    /// the protocol, or does not take its answer, is let go.
    pub(crate) fn serve(&mut self, handle: &mut dyn FnMut(Packet) -> Option<Value>) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.clients.len() < MOST_CLIENTS {
            match rustix::net::accept_with(&self.listener, flags) {
                Ok(client) => self.clients.push(client),
                Err(_) => break,
            }
        }
        self.clients.retain(|client| {
            for _ in 0..AT_A_TIME {
                match packet::receive(client.as_fd()) {
                    Ok(Some(packet)) => {
                        let Some(reply) = handle(packet) else { continue };
                        if packet::send(client.as_fd(), &reply, &[]).is_err() {
                            return false;
                        }
                    }
                    Ok(None) => return false,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if fault::lifted!("packets") => panic!("{e}"),
                    Err(_) => return false,
                }
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clients_are_answered_and_bad_ones_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::listen(dir.path(), "socket").unwrap();
        let connect = || {
            let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            rustix::net::connect(&socket, &SocketAddrUnix::new(dir.path().join("socket")).unwrap()).unwrap();
            socket
        };
        let (good, bad) = (connect(), connect());
        packet::send(good.as_fd(), &json!(1), &[]).unwrap();
        rustix::net::send(&bad, b"[", rustix::net::SendFlags::empty()).unwrap();
        server.serve(&mut |packet| Some(json!({"got": packet.value})));
        let reply = packet::receive(good.as_fd()).unwrap().unwrap();
        assert_eq!(reply.value, json!({"got": 1}));
        assert!(packet::receive(bad.as_fd()).unwrap().is_none());
        assert_eq!(server.clients.len(), 1);
    }
}
