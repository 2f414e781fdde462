//! The sockets that a foreign module finds in its box: one for exceptions, one for loop devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::process::{Gid, Uid};
use sandbox::{Idmap, LoopDevice, LoopOptions, Mount, Source};
use serde_json::{Value, json};

use super::host::Beside;
use super::packet::Packet;
use super::server::Server;
use crate::{Error, Result};

/// The sockets' names.
const NAMES: [&str; 2] = ["osbuild", "remoteloop"];

/// The magic number of a file system in memory, which a box's `/dev` is (`TMPFS_MAGIC`).
const TMPFS: i64 = 0x0102_1994;

/// More loop devices than this no module gets.
const MOST_DEVICES: usize = 64;

/// Both sockets of one stage.
pub(crate) struct SandboxApi {
    dir: PathBuf,
    exceptions: Server,
    loops: Server,
    /// What the module raised last.
    error: Option<Value>,
    /// They live as long as the box.
    devices: Vec<LoopDevice>,
    /// The box's root.
    owner: u32,
}

impl SandboxApi {
    pub(crate) fn new(scratch: &Path, owner: u32) -> Result<Self> {
        let dir = scratch.join("api");
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", &dir, e))?;
        let listen = |name| Server::listen(&dir, name).map_err(|e| Error::io("listen in", &dir, e));
        Ok(Self {
            exceptions: listen(NAMES[0])?,
            loops: listen(NAMES[1])?,
            dir,
            error: None,
            devices: Vec::new(),
            owner,
        })
    }

    /// What brings the sockets into the box.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let bind = |name: &str| Mount::Bind {
            source: Source::at(self.dir.join(name)),
            target: Path::new("/run/osbuild/api").join(name),
            writable: true,
            idmap: Idmap::Required,
        };
        NAMES.map(bind).to_vec()
    }

    /// Takes in what was sent before the end, and says what was raised.
    pub(crate) fn finish(mut self) -> Option<Value> {
        self.serve();
        self.error
    }
}

impl Beside for SandboxApi {
    fn fds<'a>(&'a self, list: &mut Vec<BorrowedFd<'a>>) {
        self.exceptions.fds(list);
        self.loops.fds(list);
    }

    fn serve(&mut self) {
        let error = &mut self.error;
        self.exceptions.serve(&mut |packet| {
            *error = exception(&packet.value);
            None
        });
        let (devices, owner) = (&mut self.devices, self.owner);
        self.loops.serve(&mut |packet| {
            Some(match make_device(&packet, devices, owner) {
                Ok(name) => json!({"devname": name}),
                Err(message) => json!({
                    "method": "exception",
                    "exception": {"type": "RuntimeError", "value": message, "traceback": ""},
                }),
            })
        });
    }
}

/// The error that a message reports; any other message takes an earlier one back.
fn exception(message: &Value) -> Option<Value> {
    let data = (message["method"] == "exception").then(|| message.get("exception"))??;
    Some(json!({"type": "exception", "data": data}))
}

/// Binds the file that came with the request and makes a node in the directory that came with it.
fn make_device(
    packet: &Packet,
    devices: &mut Vec<LoopDevice>,
    owner: u32,
) -> std::result::Result<String, String> {
    let request = &packet.value;
    let descriptor = |key: &str| -> std::result::Result<&OwnedFd, String> {
        let index = request[key]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        let fd = index.and_then(|index| packet.fds.get(index));
        fd.ok_or_else(|| format!("`{key}` is no descriptor of the message"))
    };
    let (file, dir) = (descriptor("fd")?, descriptor("dir_fd")?);
    let text = |e: rustix::io::Errno| e.to_string();
    let kind = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|s| FileType::from_raw_mode(s.st_mode));
    if kind(file).map_err(text)? != FileType::RegularFile {
        return Err("a loop device is made of a regular file".into());
    }
    // elsewhere a node would end up in a tree
    let in_memory = rustix::fs::fstatfs(dir).map_err(text)?.f_type as i64 == TMPFS;
    if kind(dir).map_err(text)? != FileType::Directory || !in_memory {
        return Err("the device's directory must be /dev".into());
    }
    if devices.len() == MOST_DEVICES {
        return Err(format!(
            "a stage may have no more than {MOST_DEVICES} loop devices"
        ));
    }
    let number = |key: &str| request[key].as_u64().unwrap_or(0);
    let flag = |key: &str| request[key].as_bool().unwrap_or(false);
    let options = LoopOptions {
        offset: number("offset"),
        size_limit: number("sizelimit"),
        block_size: request["sector_size"]
            .as_u64()
            .and_then(|size| u32::try_from(size).ok())
            .unwrap_or(512),
        partscan: flag("partscan"),
        read_only: flag("read_only"),
        lock: flag("lock"),
    };
    let device = LoopDevice::bind(file.as_fd(), &options).map_err(|e| e.to_string())?;
    let (major, minor) = device.number();
    let name = device.name();
    let id = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(dir, &name, FileType::BlockDevice, Mode::from_raw_mode(0o600), id).map_err(text)?;
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    rustix::fs::chownat(dir, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(text)?;
    devices.push(device);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_message_takes_an_exception_back() {
        let message = json!({"method": "exception", "exception": {"type": "T", "value": "V"}});
        let error = exception(&message).unwrap();
        assert_eq!(error["data"]["value"], "V");
        assert_eq!(exception(&json!({"method": "other"})), None);
        assert_eq!(exception(&json!(7)), None);
    }

    #[test]
    fn requests_without_their_descriptors_are_refused() {
        let packet = Packet {
            value: json!({"fd": 0, "dir_fd": 1}),
            fds: Vec::new(),
        };
        assert!(make_device(&packet, &mut Vec::new(), 0).is_err());
    }
}
