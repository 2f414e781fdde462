//! Loop devices of the host.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::{Error, Result, sys};

// from <linux/loop.h> and <linux/fs.h>
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const LOOP_CLR_FD: u64 = 0x4C01;
const LOOP_GET_STATUS64: u64 = 0x4C05;
const BLKFLSBUF: u64 = 0x1261;
const FLAG_READ_ONLY: u32 = 1;
const FLAG_AUTOCLEAR: u32 = 4;
const FLAG_PARTSCAN: u32 = 8;

/// The major number of all loop devices.
const MAJOR: u32 = 7;

/// Others look for a free device too: so often we try again.
const ATTEMPTS: usize = 100;

/// How long a device that nobody should use any more may take until it is free, and how often that is looked at.
const FREE_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// How a file is made a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopOptions {
    /// Bytes of the file before the device begins.
    pub offset: u64,
    /// Bytes of the device; 0 is the rest of the file.
    pub size_limit: u64,
    /// Bytes of a sector.
    pub block_size: u32,
    pub partscan: bool,
    pub read_only: bool,
    /// Whether to hold the lock that keeps udev away.
    pub lock: bool,
}

/// A loop device that is bound to a file until this value goes.
#[derive(Debug)]
pub struct LoopDevice {
    file: File,
    number: u32,
    /// Device and inode number of the file it is bound to.
    backing: (u64, u64),
}

/// `struct loop_config` of <linux/loop.h>.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names_and_key: [u8; 160],
    init: [u64; 2],
    reserved: [u64; 8],
}

impl LoopDevice {
    /// Binds a free device to the file `backing`.
    ///
    /// # Errors
    /// The machine has no loop devices, or the file cannot be one.
    pub fn bind(backing: BorrowedFd<'_>, options: &LoopOptions) -> Result<Self> {
        let fail = |e: io::Error| Error::setup("making a loop device", e);
        let there = rustix::fs::fstat(backing).map_err(|e| fail(e.into()))?;
        let control = open("/dev/loop-control").map_err(fail)?;
        let mut last = io::Error::from_raw_os_error(libc::EBUSY);
        for _ in 0..ATTEMPTS {
            let number = ioctl(&control, LOOP_CTL_GET_FREE, 0).map_err(fail)? as u32;
            let file = open_device(number).map_err(fail)?;
            if options.lock && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            match configure(&file, backing, options) {
                Ok(()) => {
                    return Ok(Self {
                        file,
                        number,
                        backing: (there.st_dev, there.st_ino),
                    });
                }
                Err(e) if matches!(e.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN)) => last = e,
                Err(e) => return Err(fail(e)),
            }
        }
        Err(fail(last))
    }

    /// The device's major and minor number.
    pub fn number(&self) -> (u32, u32) {
        (MAJOR, self.number)
    }

    /// Its name in `/dev`.
    pub fn name(&self) -> String {
        format!("loop{}", self.number)
    }

    /// Flushes the device, lets go of it, and waits until the file is bound to it no more: a file system that was
    /// mounted on it has been written out then.
    ///
    /// # Errors
    /// Somebody holds on to it.
    pub fn close(self) -> Result<()> {
        let (number, file) = (self.number, self.backing);
        drop(self);
        let begun = Instant::now();
        while is_bound(number, file) {
            if begun.elapsed() > FREE_WITHIN {
                let e = io::Error::from_raw_os_error(libc::EBUSY);
                return Err(Error::setup(format!("letting go of /dev/loop{number}"), e));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Whether the device is bound to the file of this device and inode number.
fn is_bound(number: u32, backing: (u64, u64)) -> bool {
    // struct loop_info64 begins with device and inode number of the file
    let mut info = [0u64; 29];
    let Ok(file) = File::open(format!("/dev/loop{number}")) else {
        return false;
    };
    match ioctl(&file, LOOP_GET_STATUS64, &raw mut info as u64) {
        Ok(_) => (info[0], info[1]) == backing,
        Err(_) => false,
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // what is still in the device's own cache would be lost; it clears itself with its last user
        let _ = self.file.sync_all();
        let _ = ioctl(&self.file, BLKFLSBUF, 0);
        let _ = ioctl(&self.file, LOOP_CLR_FD, 0);
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
}

fn open_device(number: u32) -> io::Result<File> {
    let path = format!("/dev/loop{number}");
    let file = open(&path)?;
    let metadata = file.metadata()?;
    let id = metadata.rdev();
    let same = metadata.file_type().is_block_device()
        && (rustix::fs::major(id), rustix::fs::minor(id)) == (MAJOR, number);
    if same {
        Ok(file)
    } else {
        Err(io::Error::other(format!("{path} is no loop device")))
    }
}

fn configure(file: &File, backing: BorrowedFd<'_>, options: &LoopOptions) -> io::Result<()> {
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    let config = Config {
        fd: backing.as_raw_fd() as u32,
        block_size: options.block_size,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: options.offset,
        size_limit: options.size_limit,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: FLAG_AUTOCLEAR
            | flag(options.partscan, FLAG_PARTSCAN)
            | flag(options.read_only, FLAG_READ_ONLY),
        names_and_key: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    };
    ioctl(file, LOOP_CONFIGURE, &raw const config as u64).map(drop)
}

fn ioctl(file: &File, request: u64, argument: u64) -> io::Result<libc::c_long> {
    // SAFETY: the requests used here take an integer, nothing, or a pointer to a structure that lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_ioctl, file.as_raw_fd(), request, argument) };
    if result < 0 {
        Err(io::Error::from_raw_os_error(sys::errno()))
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_the_kernels() {
        assert_eq!(size_of::<Config>(), 304);
        assert_eq!(std::mem::offset_of!(Config, flags), 60);
        assert_eq!(size_of::<[u64; 29]>(), 232);
    }
}
