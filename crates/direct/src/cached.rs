//! What of a file is in memory.

#![allow(unsafe_code)]

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Pages asked about at once.
const PAGES: usize = 1024;

/// How many bytes of `range` are in pages that the page cache has. Holes count as absent.
///
/// All of them where the kernel does not say: it tells those who own the file or may write it, by a descriptor that is open
/// for reading. By mincore(2), which sees through an overlay; cachestat(2) does not.
pub fn cached(file: impl AsFd, range: Range<u64>) -> u64 {
    // SAFETY: takes no pointer
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let mut count = 0;
    let mut at = range.start / page * page;
    while at < range.end {
        let end = range.end.min(at + PAGES as u64 * page);
        for is_there in present(&file, at..end, page)
            .iter()
            .take((end - at).div_ceil(page) as usize)
        {
            let next = at + page;
            if is_there & 1 == 1 {
                count += next.min(range.end) - at.max(range.start);
            }
            at = next;
        }
    }
    count
}

/// For each page of `range`, which begins with one, whether it is there: bit 0.
fn present(file: impl AsFd, range: Range<u64>, page: u64) -> [u8; PAGES] {
    let mut present = [1; PAGES];
    let length = (range.end - range.start).next_multiple_of(page) as usize;
    // SAFETY: the address is the kernel's choice, nothing may be read there, and it is unmapped below
    let mapped = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::empty(),
            MapFlags::SHARED,
            file,
            range.start,
        )
    };
    let Ok(address) = mapped else {
        return present;
    };
    // SAFETY: `length` bytes are mapped at the address, and there is room for each of their pages
    let said = unsafe { libc::mincore(address, length, present.as_mut_ptr()) };
    // SAFETY: just these were mapped above
    let _ = unsafe { munmap(address, length) };
    match said {
        0 => present,
        _ => [1; PAGES],
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_there_and_a_hole_is_not() {
        let mut file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.write_all(&vec![1; 9_000_000]).unwrap();
        file.set_len(90_000_000).unwrap();
        assert_eq!(cached(&file, 0..9_000_000), 9_000_000);
        assert_eq!(cached(&file, 4000..5000), 1000);
        assert_eq!(cached(&file, 20_000_000..90_000_000), 0);
        assert_eq!(cached(&file, 5..5), 0);
    }

    #[test]
    fn where_the_kernel_does_not_say_all_counts_as_there() {
        let path = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        let file = File::options().write(true).open(path.path()).unwrap();
        file.set_len(10_000_000).unwrap();
        assert_eq!(cached(&file, 100..10_000_000), 9_999_900);
    }
}
