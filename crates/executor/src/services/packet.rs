//! One packet of a socket of the module protocol: a JSON value, and perhaps descriptors.
//!
//! `AF_UNIX`, `SOCK_SEQPACKET`. A value that is longer than the kernel's limit for a send buffer travels in a file
//! without a name; the packet then is [`VIA_FD`], and that file the first of the descriptors.

use std::io::{Error, IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde_json::Value;

/// What stands in a packet whose value is in a file.
const VIA_FD: &[u8] = b"<args-via-fd>";

/// The kernel passes no more descriptors at once (`SCM_MAX_FD`).
const MOST_FDS: usize = 253;

/// No message of the protocol comes near.
const LONGEST: usize = 256 << 20;

/// What came in.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) value: Value,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Sends a value with descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, value: &Value, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let text = manifest::python_text(value).into_bytes();
    if text.len() > longest_inline() {
        let file = rustix::fs::memfd_create("jsoncomm/payload", MemfdFlags::CLOEXEC)?;
        let mut rest = &text[..];
        let mut at = 0;
        while !rest.is_empty() {
            let count = rustix::io::pwrite(&file, rest, at)?;
            at += count as u64;
            rest = &rest[count..];
        }
        let all: Vec<BorrowedFd<'_>> = std::iter::once(file.as_fd()).chain(fds.iter().copied()).collect();
        return send_bytes(socket, VIA_FD, &all);
    }
    rustix::net::sockopt::set_socket_send_buffer_size(socket, text.len())?;
    send_bytes(socket, &text, fds)
}

fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the next value; `None` when the other side has closed.
///
/// # Errors
/// The packet is cut off, or is no JSON. `WouldBlock` where the socket does not wait.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> Result<Option<Packet>> {
    let mut probe = [0u8; 1];
    let (_, size) = rustix::net::recv(socket, &mut probe, RecvFlags::PEEK | RecvFlags::TRUNC)?;
    if size == 0 {
        return Ok(None);
    }
    if size > LONGEST {
        return Err(Error::other("a message is too long"));
    }
    let mut bytes = vec![0u8; size];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(Error::other("a message is cut off"));
    }
    bytes.truncate(received.bytes);
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes == VIA_FD {
        if fds.is_empty() {
            return Err(Error::other("a message is to be in a file, but there is none"));
        }
        bytes = read_file(&fds.remove(0))?;
    }
    let value =
        serde_json::from_slice(&bytes).map_err(|e| Error::other(format!("a message is no JSON: {e}")))?;
    Ok(Some(Packet { value, fds }))
}

/// All of a regular file: another kind could make us wait.
fn read_file(file: &OwnedFd) -> Result<Vec<u8>> {
    let stat = rustix::fs::fstat(file)?;
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size > LONGEST {
        return Err(Error::other("a message is in a file that is none, or too long"));
    }
    let mut bytes = vec![0u8; size];
    let mut done = 0;
    while done < size {
        match rustix::io::pread(file, &mut bytes[done..], done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// How long a packet may be: the kernel's limit for send buffers.
fn longest_inline() -> usize {
    let text = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap_or_default();
    text.trim().parse().unwrap_or(64_000)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use serde_json::json;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap()
    }

    #[test]
    fn values_long_and_short_come_through_with_their_descriptors() {
        let (a, b) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        for value in [json!({"a": "é\u{7f}"}), json!({"long": "x".repeat(3 << 20)})] {
            send(a.as_fd(), &value, &[file.as_fd()]).unwrap();
            let packet = receive(b.as_fd()).unwrap().unwrap();
            assert_eq!(packet.value, value);
            assert_eq!(packet.fds.len(), 1);
        }
        drop(a);
        assert!(receive(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn bad_packets_are_errors_and_never_wait() {
        let (a, b) = pair();
        send_bytes(a.as_fd(), b"{\"a\": ", &[]).unwrap();
        assert!(receive(b.as_fd()).is_err());
        send_bytes(a.as_fd(), VIA_FD, &[]).unwrap();
        assert!(receive(b.as_fd()).is_err());
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"{}").unwrap();
        send_bytes(a.as_fd(), VIA_FD, &[reader.as_fd()]).unwrap();
        assert!(receive(b.as_fd()).is_err());
    }
}
