//! What is mounted below a directory, in the mount table of this thread (`proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) path: PathBuf,
    /// Whether its owners are those of the box already: an overlay is made of layers that are, and others say so.
    pub(crate) shifted: bool,
}

/// The mounts at and below `dir`, those above first; of several at one place the one on top.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn below(dir: &Path) -> std::io::Result<Vec<Mounted>> {
    let text = std::fs::read("/proc/thread-self/mountinfo")?;
    let mut found: Vec<Mounted> = Vec::new();
    for mounted in text.split(|byte| *byte == b'\n').filter_map(read_line) {
        if mounted.path.starts_with(dir) {
            found.retain(|other| other.path != mounted.path);
            found.push(mounted);
        }
    }
    // one that was there before another was mounted above it cannot be reached, and its path leads elsewhere
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn read_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let path = fields.nth(4)?;
    let options = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let shifted = kind == b"overlay" || options.split(|byte| *byte == b',').any(|o| o == b"idmapped");
    Some(Mounted {
        path: unescape(path),
        shifted,
    })
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_writes_them() {
        let line = b"41 22 7:1 / /a\\040b/c rw,relatime,idmapped shared:3 - ext4 /dev/loop1 rw";
        let mounted = read_line(line).unwrap();
        assert_eq!(mounted.path, Path::new("/a b/c"));
        assert!(mounted.shifted);
        assert!(
            !read_line(b"41 22 7:1 / /x rw - ext4 /dev/loop1 rw")
                .unwrap()
                .shifted
        );
        assert!(read_line(b"41 22 0:9 / /x rw - overlay none rw").unwrap().shifted);
        for bad in [&b""[..], b"1 2 3", b"41 22 7:1 / /x rw ext4"] {
            assert_eq!(read_line(bad), None);
        }
        assert!(
            below(Path::new("/proc"))
                .unwrap()
                .iter()
                .any(|m| m.path == Path::new("/proc"))
        );
    }
}
