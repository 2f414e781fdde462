//! What a host service sends: packets of its socket, and the answers in them.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/executor/src/services/message.rs"]
mod message;
#[allow(dead_code)]
#[path = "../../crates/executor/src/services/packet.rs"]
mod packet;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else {
        return;
    };
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .expect("there are sockets");
    let file = match how % 4 {
        0 => None,
        1 => Some(memory(bytes)),
        // descriptors that are no files
        2 => Some(rustix::io::dup(&theirs).expect("there are descriptors")),
        _ => Some(std::fs::File::open("/").expect("there is a root").into()),
    };
    send(theirs.as_fd(), bytes, file.as_ref(), how & 4 != 0);
    while let Ok(Some(packet)) = packet::receive(ours.as_fd()) {
        // what was read can be sent on, and is the same then
        let answer = message::answer(&packet.value);
        let call = message::call("x", &packet.value);
        packet::send(theirs.as_fd(), &packet.value, &[]).expect("a value can be sent");
        let again = packet::receive(ours.as_fd()).ok().flatten().expect("it was sent");
        assert_eq!(message::answer(&again.value), answer);
        assert_eq!(message::call("x", &again.value), call);
    }
});

/// A packet that says that its value is in the file, or has it with it.
fn send(socket: BorrowedFd<'_>, bytes: &[u8], file: Option<&OwnedFd>, both: bool) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    let fds: Vec<BorrowedFd<'_>> = file.iter().map(|file| file.as_fd()).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let text = if file.is_some() && !both {
        &b"<args-via-fd>"[..]
    } else {
        bytes
    };
    // one that is too long for the socket stays here
    let _ = rustix::net::sendmsg(
        socket,
        &[std::io::IoSlice::new(text)],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    );
}

fn memory(bytes: &[u8]) -> OwnedFd {
    let file = rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("there is memory");
    rustix::io::pwrite(&file, bytes, 0).expect("there is memory");
    file
}
