//! The content of one file into another: shared blocks where the file system can, else without filling holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::{Error, Result, copy_past_cache};

/// Bytes of a stretch of data from which on its blocks are asked for at once.
const LARGE: u64 = 1 << 20;

/// Makes the content of `to` that of `from`, both from their beginnings whatever their offsets are.
///
/// Tried in turn: a reflink (`FICLONE`), `copy_file_range` of each stretch of data, reading and writing. Holes stay
/// holes. The error's path is empty: the caller knows which file it was.
pub fn copy_file(from: &File, to: &File) -> Result<()> {
    copy_file_by(from, to, false).map(drop)
}

/// [`copy_file`] for a copy that `leaves`: nobody here will soon read it. Long stretches of data that are not in memory then
/// do not enter it. Whether the two share their blocks.
pub(crate) fn copy_file_by(from: &File, to: &File, leaves: bool) -> Result<bool> {
    let here = Path::new("");
    let length = from.metadata().map_err(|e| Error::io("stat", here, e))?.len();
    if to.metadata().map_err(|e| Error::io("stat", here, e))?.len() > 0 {
        to.set_len(0).map_err(|e| Error::io("truncate", here, e))?;
    }
    if length == 0 {
        return Ok(false);
    }
    if fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(true);
    }
    to.set_len(length).map_err(|e| Error::io("write", here, e))?;
    let mut at = 0;
    while at < length {
        let (start, end) = match next_data(from, at, length) {
            Ok(Some(data)) => data,
            Ok(None) => break,
            Err(e) => return Err(Error::errno("find the data of", here, e)),
        };
        if end - start >= LARGE {
            // its blocks at once: to find them a page at a time takes as long as to copy; who cannot finds them so
            let _ = fs::fallocate(to, FallocateFlags::empty(), start, end - start);
        }
        let done = match leaves && copy_past_cache::pays(from, start, end) {
            true => copy_past_cache::copy(from, to, start, end)
                .map_err(|(operation, cause)| Error::io(operation, here, cause))?,
            false => start,
        };
        let done = copy_in_kernel(from, to, done, end).map_err(|e| Error::errno("write", here, e))?;
        copy_by_hand(from, to, done, end)?;
        at = end;
    }
    Ok(false)
}

/// The next stretch of data at or after `at`; a file system that knows nothing of holes is all data.
pub(crate) fn next_data(file: &File, at: u64, length: u64) -> rustix::io::Result<Option<(u64, u64)>> {
    match fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) if start >= length => Ok(None),
        Ok(start) => {
            let end = fs::seek(file, SeekFrom::Hole(start))?;
            Ok(Some((start, end.min(length))))
        }
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::NOTSUP | Errno::SPIPE) => Ok(Some((at, length))),
        Err(e) => Err(e),
    }
}

/// Bytes written at a time where the kernel does not copy. The page cache takes them in one piece of memory, and larger
/// pieces are harder to come by: on a virtual machine that returns free memory to its host they cost ten times as much.
const CHUNK: usize = 64 * 1024;

/// Copies `start..end` as far as the kernel does it alone, and says where it stopped.
fn copy_in_kernel(from: &File, to: &File, start: u64, end: u64) -> rustix::io::Result<u64> {
    let (mut source, mut target) = (start, start);
    while source < end {
        let wanted = usize::try_from(end - source).unwrap_or(usize::MAX).min(1 << 30);
        let copied = fault::step!(fs::copy_file_range(
            from,
            Some(&mut source),
            to,
            Some(&mut target),
            wanted
        ));
        match copied {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            // other file systems, or a kernel or file system without the call
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::BADF) => {
                break;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(source)
}

fn copy_by_hand(from: &File, to: &File, start: u64, end: u64) -> Result<()> {
    if start >= end {
        return Ok(());
    }
    let here = Path::new("");
    let mut buffer = vec![0; CHUNK];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = match from.read_at(&mut buffer[..wanted], at) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("read", here, e)),
        };
        to.write_all_at(&buffer[..length], at)
            .map_err(|e| Error::io("write", here, e))?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_and_content_is_equal() {
        let dir = tempfile::tempdir().unwrap();
        let from = File::create_new(dir.path().join("from")).unwrap();
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"start", 0).unwrap();
        from.write_all_at(&[7; 9000], 33 << 20).unwrap();
        let from = File::open(dir.path().join("from")).unwrap();
        let to = File::create_new(dir.path().join("to")).unwrap();
        to.write_all_at(&[1; 100_000], 0).unwrap();
        copy_file(&from, &to).unwrap();
        let read = |name| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read("from") == read("to"));
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn what_leaves_is_the_same_cached_or_not() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let create = |name| {
            let path = dir.path().join(name);
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)
                .unwrap()
        };
        let from = create("from");
        from.set_len((96 << 20) + 5).unwrap();
        let data: Vec<u8> = (0..20 << 20).map(|n: u32| (n ^ (n >> 9)) as u8).collect();
        from.write_all_at(&data, 10 << 20).unwrap();
        from.write_all_at(b"end", 96 << 20).unwrap();
        let read = |name| std::fs::read(dir.path().join(name)).unwrap();
        for to in ["cached", "not cached"] {
            let copy = create(to);
            copy_file_by(&from, &copy, true).unwrap();
            assert!(read("from") == read(to), "{to}");
            assert!(copy.metadata().unwrap().blocks() * 512 < 21 << 20, "{to}");
            from.sync_all().unwrap();
            fs::fadvise(&from, 0, None, fs::Advice::DontNeed).unwrap();
        }
    }

    #[test]
    fn what_the_kernel_does_not_copy_is_read_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let from = File::open("/proc/self/status").unwrap();
        let to = File::create_new(dir.path().join("to")).unwrap();
        // a file of /proc says it is empty: then there is nothing to copy, and by hand there is
        copy_file(&from, &to).unwrap();
        copy_by_hand(&from, &to, 0, 1 << 20).unwrap();
        assert!(
            std::fs::read(dir.path().join("to"))
                .unwrap()
                .starts_with(b"Name:")
        );
    }
}
