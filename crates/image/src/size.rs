//! Sizes: how they are written, what a tree takes, how large its file system gets when nobody says.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use tree::Tree;
use tree::walk::Entry;

use crate::ext4::need_block;
use crate::{Error, Result};

pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// A number of bytes, shown as people write it: `1.3 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// What a directory tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Files of any kind, hard links counted once.
    pub inodes: u64,
    /// Bytes of content in whole blocks of 4 KiB, holes of large files not counted; a block more where extended
    /// attributes do not fit in an inode of ext4.
    pub bytes: u64,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", GIB), ("MiB", MIB), ("KiB", 1 << 10)];
        match units.iter().find(|(_, unit)| self.0 >= *unit) {
            Some((name, unit)) if self.0.is_multiple_of(*unit) => write!(f, "{} {name}", self.0 / unit),
            Some((name, unit)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Reads `10 GiB`, `512MiB`, `1.5 GB` or a plain number of bytes. `KB`, `MB`, `GB`, `TB` are powers of 1000.
pub fn parse(text: &str) -> Result<u64> {
    let bad = || Error::unsuitable(format!("`{text}` is no size; write it like \"10 GiB\""));
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..unit_at], text[unit_at..].trim());
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    if let Ok(number) = number.parse::<u64>() {
        return number.checked_mul(unit).ok_or_else(bad);
    }
    let number: f64 = number.parse().map_err(|_| bad())?;
    Ok((number * unit as f64) as u64)
}

/// What `tree` holds, without what lies below the directory `hidden`.
pub fn usage(tree: &Tree, hidden: Option<&Path>) -> Result<Usage> {
    let mut walk = Walk {
        usage: Usage::default(),
        linked: HashSet::new(),
        hidden,
    };
    let root = tree.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    let (path, name) = (Path::new(""), OsStr::new("."));
    let stat = fstat(&root).map_err(|e| tree::Error::errno("stat", path, e))?;
    walk.inode(&Entry {
        path,
        stat: stat.into(),
        dir: root.as_fd(),
        name,
    })?;
    walk.directory(root, path)?;
    Ok(walk.usage)
}

struct Walk<'a> {
    usage: Usage,
    linked: HashSet<(u64, u64)>,
    hidden: Option<&'a Path>,
}

impl Walk<'_> {
    fn inode(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.usage.inodes += 1;
        if need_block(entry.attributes()?) {
            self.usage.bytes += blocks(1);
        }
        Ok(())
    }

    fn directory(&mut self, dir: OwnedFd, path: &Path) -> Result<()> {
        let failed = |e| tree::Error::errno("list", path, e);
        let mut names_length = 0;
        for entry in Dir::read_from(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let path = path.join(name);
            names_length += 16 + name.len() as u64;
            let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| tree::Error::errno("stat", &path, e))?;
            let inode = Entry {
                path: &path,
                stat: stat.into(),
                dir: dir.as_fd(),
                name,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if self.hidden == Some(&path) => self.inode(&inode)?,
                FileType::Directory => {
                    self.inode(&inode)?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = openat(&dir, name, flags, Mode::empty())
                        .map_err(|e| tree::Error::errno("open", &path, e))?;
                    self.directory(below, &path)?;
                }
                kind if stat.st_nlink == 1 || self.linked.insert((stat.st_dev, stat.st_ino)) => {
                    self.inode(&inode)?;
                    self.usage.bytes += match kind {
                        FileType::RegularFile => blocks(content(stat.st_size as u64, stat.st_blocks as u64)),
                        FileType::Symlink if stat.st_size >= 60 => 4096,
                        _ => 0,
                    };
                }
                _ => {}
            }
        }
        self.usage.bytes += blocks(names_length.max(1));
        Ok(())
    }
}

/// Only a large file can have holes worth counting; small ones may be stored in ways that `st_blocks` does not tell.
fn content(size: u64, blocks_512: u64) -> u64 {
    if size > MIB {
        size.min(blocks_512 * 512)
    } else {
        size
    }
}

fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse("10 GiB").unwrap(), 10 * GIB);
        assert_eq!(parse("512MB").unwrap(), 512_000_000);
        assert_eq!(parse("1.5 GiB").unwrap(), 3 * GIB / 2);
        assert_eq!(parse("4096").unwrap(), 4096);
        for bad in ["", "GiB", "10 parsecs", "99999999999 TiB", "1.2.3 GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Bytes(10 * GIB).to_string(), "10 GiB");
        assert_eq!(Bytes(GIB + GIB / 3).to_string(), "1.3 GiB");
        assert_eq!(Bytes(17).to_string(), "17 bytes");
    }

    #[test]
    fn a_tree_is_counted_without_holes_twins_and_what_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot/efi/EFI").unwrap();
        tree.write("boot/efi/EFI/x", vec![1; 9000]).unwrap();
        tree.write("one", vec![1; 5000]).unwrap();
        tree.hard_link("one", "two").unwrap();
        tree.create_file("hole").unwrap().set_len(GIB).unwrap();
        let usage = usage(&tree, Some(Path::new("boot/efi"))).unwrap();
        // root, boot, boot/efi, one, hole
        assert_eq!(usage.inodes, 5);
        assert_eq!(usage.bytes, 8192 + 2 * 4096);
    }
}
