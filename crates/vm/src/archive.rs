//! An archive that the kernel unpacks before it starts: cpio in its "newc" form.
//!
//! ```text
//! entry    "070701", then 13 numbers of 8 hexadecimal digits:
//!          ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
//!          the name and a NUL, padded to 4 bytes; the content, padded to 4 bytes
//! end      an entry called TRAILER!!!
//! ```
//!
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.) Times are 0 and inodes are counted, so the
//! same entries make the same bytes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Writes an archive. Directories above an entry are written before it.
pub(crate) struct Archive<W> {
    out: W,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            inode: 0,
            directories: BTreeSet::new(),
        }
    }

    /// A file that can be executed.
    pub(crate) fn program(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let name = self.parents(path)?;
        self.entry(&name, PROGRAM, (0, 0), content)
    }

    pub(crate) fn character_device(&mut self, path: &Path, number: (u32, u32)) -> io::Result<()> {
        let name = self.parents(path)?;
        self.entry(&name, CHARACTER_DEVICE, number, b"")
    }

    pub(crate) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let name = self.parents(path)?;
        match self.directories.insert(name.clone()) {
            true => self.entry(&name, DIRECTORY, (0, 0), b""),
            false => Ok(()),
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), b"")?;
        Ok(self.out)
    }

    /// The name of an entry, once all above it is there.
    fn parents(&mut self, path: &Path) -> io::Result<String> {
        let path = path.strip_prefix("/").unwrap_or(path);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.directory(parent)?;
        }
        let name = path.to_str();
        name.map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::Error::other("a file over 4 GiB"))?;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let name_size = name.len() as u32 + 1;
        self.inode += 1;
        let numbers = [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        let mut head = String::from("070701");
        numbers
            .iter()
            .for_each(|number| head.push_str(&format!("{number:08x}")));
        head.push_str(name);
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 4][..rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.program(Path::new("/bin/a/init"), b"hello").unwrap();
        archive.program(Path::new("/bin/b"), b"").unwrap();
        archive
            .character_device(Path::new("/dev/console"), (5, 1))
            .unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn the_same_entries_make_the_same_bytes() {
        assert_eq!(sample(), sample());
        assert_eq!(sample().len() % 4, 0);
    }

    #[test]
    fn cpio_reads_it() {
        let Ok(mut child) = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return println!("skipped: there is no cpio");
        };
        child.stdin.take().unwrap().write_all(&sample()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names: Vec<&str> = text
            .lines()
            .map(|line| line.split_once("1970 ").unwrap().1)
            .collect();
        let all = ["bin", "bin/a", "bin/a/init", "bin/b", "dev", "dev/console"];
        assert_eq!(names, all, "{text}");
        assert!(text.contains("5,   1"), "{text}");
    }
}
