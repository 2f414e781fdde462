//! Loop devices of files, which the executor makes for a module that says it [needs](crate::Need::LoopDevices) them.
//!
//! The protocol is that of the Python osbuild's `remoteloop`: a packet of JSON with two descriptors, the file and `/dev`;
//! the answer names the node that was made there. All devices end with the box.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};
use serde_json::{Value, json};

const SOCKET: &str = "/run/osbuild/api/remoteloop";
/// No answer is longer.
const LONGEST: usize = 65_536;

/// The executor's service.
#[derive(Debug)]
pub struct LoopDevices {
    socket: OwnedFd,
}

/// What a loop device is like.
#[derive(Debug, Clone)]
pub struct LoopOptions {
    pub read_only: bool,
    /// Bytes in a sector: 512 or 4096.
    pub sector: u32,
    /// Which bytes of the file; all without.
    pub range: Option<Range<u64>>,
}

impl LoopDevices {
    /// Finds the service.
    ///
    /// # Errors
    /// There is none: the module does not say that it needs it.
    pub fn connect() -> Result<Self> {
        let connect = || -> rustix::io::Result<OwnedFd> {
            let kind = SocketType::SEQPACKET;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(SOCKET)?)?;
            Ok(socket)
        };
        let socket = connect().context("the executor makes no loop devices for this stage")?;
        Ok(Self { socket })
    }

    /// A loop device of `file`: its node in `/dev`. [`LoopDevices::partitions`] finds those that are on it.
    pub fn bind(&self, file: &File, options: &LoopOptions) -> Result<PathBuf> {
        let dev = rustix::fs::open("/dev", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context("cannot open /dev")?;
        let range = options.range.as_ref();
        let request = json!({
            "offset": range.map_or(0, |range| range.start),
            "sizelimit": range.map_or(0, |range| range.end - range.start),
            "fd": 0, "dir_fd": 1, "lock": false, "partscan": true, "read_only": options.read_only,
            "sector_size": options.sector,
        });
        let fds = [file.as_fd(), dev.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let text = request.to_string();
        let flags = SendFlags::NOSIGNAL;
        rustix::net::sendmsg(
            &self.socket,
            &[IoSlice::new(text.as_bytes())],
            &mut control,
            flags,
        )
        .context("cannot ask for a loop device")?;
        let mut answer = vec![0; LONGEST];
        let received = rustix::net::recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut answer)],
            &mut RecvAncillaryBuffer::new(&mut []),
            RecvFlags::empty(),
        )
        .context("no loop device was given")?;
        let answer: Value =
            serde_json::from_slice(&answer[..received.bytes]).context("the answer is no JSON")?;
        match answer["devname"].as_str() {
            Some(name) => Ok(Path::new("/dev").join(name)),
            None => {
                let why = answer["exception"]["value"]
                    .as_str()
                    .unwrap_or("no reason was given");
                bail!("cannot make a loop device: {why}")
            }
        }
    }

    /// The partitions of a loop device by number: nodes beside the device's, which are made.
    pub fn partitions(device: &Path) -> Result<BTreeMap<u32, PathBuf>> {
        let name = device.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| anyhow!("{} is no device", device.display()))?;
        let dir = Path::new("/sys/block").join(name);
        let mut found = BTreeMap::new();
        let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            let read = |file: &str| std::fs::read_to_string(path.join(file));
            // a directory without a number is no partition
            let Ok(number) = read("partition") else { continue };
            let number = number.trim().parse().context("a partition's number is none")?;
            let numbers = read("dev").context("cannot tell a partition's device")?;
            let (major, minor) = numbers.trim().split_once(':').context("a device has no number")?;
            let id = rustix::fs::makedev(major.parse()?, minor.parse()?);
            let node = Path::new("/dev").join(path.file_name().unwrap_or_default());
            let mode = Mode::from_raw_mode(0o600);
            match rustix::fs::mknodat(rustix::fs::CWD, &node, FileType::BlockDevice, mode, id) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", node.display())),
            }
            found.insert(number, node);
        }
        Ok(found)
    }
}
