//! A second description of an open file, for which transfers pass the page cache.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Opens `file` again with `O_DIRECT`; `None`: the file system, or who may open what, does not allow it.
///
/// Not the flag of the description there is: that is shared with whoever else reads or writes by it.
pub fn open(file: impl AsFd, access: OFlags) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    Some(File::from(fd))
}

/// Whether an error means that the file system wants the transfer the plain way.
pub fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::OPNOTSUPP)
}
