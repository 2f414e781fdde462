//! Extended attributes of entries of any kind, links and devices included.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Names and values, sorted by name.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// `/proc/self/fd/N/NAME`: the calls on attributes take no descriptor and name before Linux 6.13, and an `O_PATH`
/// descriptor not at all.
fn path_of(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    path.push(name);
    path
}

/// All attributes of the entry `name` of `dir` that this process may see, its last link not followed; none where the
/// file system has no attributes.
pub(crate) fn read(dir: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<Attributes> {
    let path = path_of(dir, name);
    let mut small = [0u8; 1024];
    let list = match fs::llistxattr(&path, &mut small) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Attributes::new()),
        Ok(length) => small[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut large = vec![0u8; 65536];
            let length = fs::llistxattr(&path, large.as_mut_slice())
                .map_err(|e| Error::errno("list the attributes of", shown, e))?;
            large.truncate(length);
            large
        }
        Err(e) => return Err(Error::errno("list the attributes of", shown, e)),
    };
    let mut attributes = Attributes::new();
    for name in list.split_inclusive(|b| *b == 0) {
        let Ok(key) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if let Some(value) = value(&path, key, shown)? {
            attributes.push((key.to_bytes().to_vec(), value));
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// The attribute `key` of the entry; `None` where it is not there.
pub(crate) fn get(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr, shown: &Path) -> Result<Option<Vec<u8>>> {
    value(&path_of(dir, name), key, shown)
}

fn value(path: &Path, key: &CStr, shown: &Path) -> Result<Option<Vec<u8>>> {
    let mut small = [0u8; 512];
    match fs::lgetxattr(path, key, &mut small) {
        Ok(length) => Ok(Some(small[..length].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(Errno::RANGE) => {
            // the kernel's own limit of a value (XATTR_SIZE_MAX)
            let mut large = vec![0u8; 65536];
            match fs::lgetxattr(path, key, large.as_mut_slice()) {
                Ok(length) => {
                    large.truncate(length);
                    Ok(Some(large))
                }
                Err(e) => Err(failed("read the attribute", key, shown, e)),
            }
        }
        Err(e) => Err(failed("read the attribute", key, shown, e)),
    }
}

/// Sets one attribute of the entry itself.
pub(crate) fn set(dir: BorrowedFd<'_>, name: &OsStr, key: &[u8], value: &[u8], shown: &Path) -> Result<()> {
    let Ok(key) = CString::new(key) else {
        return Ok(());
    };
    fs::lsetxattr(path_of(dir, name), key.as_c_str(), value, XattrFlags::empty())
        .map_err(|e| failed("set the attribute", &key, shown, e))
}

/// Sets one attribute of the entry itself; why the kernel refuses it is the caller's to say.
pub(crate) fn put(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr, value: &[u8]) -> rustix::io::Result<()> {
    fs::lsetxattr(path_of(dir, name), key, value, XattrFlags::empty())
}

/// Removes one attribute of the entry itself; one that is not there is fine.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr, shown: &Path) -> Result<()> {
    match fs::lremovexattr(path_of(dir, name), key) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(e) => Err(failed("remove the attribute", key, shown, e)),
    }
}

fn failed(operation: &str, key: &CStr, shown: &Path, errno: Errno) -> Error {
    Error::Unsuitable {
        path: shown.to_owned(),
        reason: format!(
            "cannot {operation} {}: {}",
            key.to_string_lossy(),
            std::io::Error::from(errno)
        ),
    }
}
