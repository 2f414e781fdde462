//! cpio: a tree into an archive, such as an initramfs.
//!
//! Members are sorted, a directory before what it holds: the kernel makes no file whose directory it has not seen. Of a
//! file with several names the last one has the content in the formats `newc` and `crc`, each of them in the older ones.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;

use tree::walk::{Entry, walk};
use tree::{Kind, Tree};

use crate::cpio_header::{Fields, Layout, TRAILER, pad};
use crate::output::{self, Pieces};
use crate::tar::{self, BLOCK, Member};
use crate::{Error, Result};

/// The formats of an archive, by their names in GNU cpio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Binary, of the sixth Unix.
    Bin,
    /// POSIX.1-1988's characters.
    Odc,
    /// That of System V release 4, and of the kernel.
    #[default]
    Newc,
    /// The same with sums of the contents.
    Crc,
    /// tar of Unix's version 7.
    Tar,
    /// POSIX.1-1988's tar.
    Ustar,
}

/// What an archive is like.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub format: Format,
    /// Whether the root directory is a member.
    pub root: bool,
    /// Number the inodes and leave the device out, so that the file system does not show.
    pub renumber: bool,
    /// The owner and group of all members, instead of their own.
    pub owner: (Option<u32>, Option<u32>),
    /// The latest modification time: later ones become it.
    pub latest: Option<i64>,
}

/// GNU cpio's unit of writing: an archive is padded to it.
const RECORD: u64 = 512;

/// Writes `tree` into `file`: over what it has, or `append`ed to the archive that is there.
pub fn write(tree: &Tree, mut file: &File, append: bool, options: Options) -> Result<()> {
    let (start, last_ino) = match append && file.metadata()?.len() > 0 {
        true => end_of(file, options.format)?,
        false => (0, 0),
    };
    file.set_len(start)?;
    file.seek(SeekFrom::Start(start))?;
    let mut names = HashMap::new();
    each(tree, options.root, |_, entry| {
        *names.entry(key(entry)).or_insert(0u64) += 1;
        Ok(())
    })?;
    let mut archive = Archive {
        out: output::buffered(file),
        at: start,
        options,
        left: names.clone(),
        names,
        inodes: HashMap::new(),
        last_ino,
        first_names: HashMap::new(),
    };
    each(tree, options.root, |name, entry| {
        archive
            .add(name, entry)
            .map_err(|error| error.about(&String::from_utf8_lossy(name)))
    })?;
    archive.finish()
}

/// Calls `visit` with the name and the entry of each member.
fn each(tree: &Tree, root: bool, mut visit: impl FnMut(&[u8], &Entry<'_>) -> Result<()>) -> Result<()> {
    // the walk's errors are the tree's; ours are kept aside
    let mut failed = None;
    let walked = walk(tree, &mut |entry| {
        let name = match entry.path.as_os_str().as_bytes() {
            b"" if !root => return Ok(()),
            b"" => b".",
            name => name,
        };
        visit(name, entry).map_err(|error| {
            failed = Some(error);
            tree::Error::Stopped
        })
    });
    match (failed, walked) {
        (Some(error), _) => Err(error),
        (None, walked) => Ok(walked?),
    }
}

type Key = (u64, u64);

fn key(entry: &Entry<'_>) -> Key {
    (entry.stat.dev, entry.stat.ino)
}

struct Archive<'f> {
    out: BufWriter<Pieces<&'f File>>,
    at: u64,
    options: Options,
    /// How many members each inode has, and how many are still to come.
    names: HashMap<Key, u64>,
    left: HashMap<Key, u64>,
    /// The numbers given to inodes.
    inodes: HashMap<Key, u64>,
    last_ino: u64,
    /// In the formats of tar a further name is a link to the first one.
    first_names: HashMap<Key, Vec<u8>>,
}

impl Archive<'_> {
    fn add(&mut self, name: &[u8], entry: &Entry<'_>) -> Result<()> {
        match layout(self.options.format) {
            Some(layout) => self.add_cpio(layout, name, entry),
            None => self.add_tar(name, entry),
        }
    }

    fn add_cpio(&mut self, layout: Layout, name: &[u8], entry: &Entry<'_>) -> Result<()> {
        let st = &entry.stat;
        let left = self.left.get_mut(&key(entry)).map_or(0, |left| {
            *left -= 1;
            *left
        });
        let comes_later = left > 0 && matches!(layout, Layout::Newc | Layout::Crc);
        let target = match st.kind {
            Kind::Symlink => Some(entry.read_link()?),
            _ => None,
        };
        let size = match (&target, st.kind) {
            (Some(target), _) => target.as_os_str().len() as u64,
            (None, Kind::File) if !comes_later => st.size,
            _ => 0,
        };
        let old = matches!(layout, Layout::Odc | Layout::Bin);
        let mut fields = Fields {
            dev: match self.options.renumber {
                true => (0, 0),
                false => (rustix::fs::major(st.dev), rustix::fs::minor(st.dev)),
            },
            // the old formats have few bits for an inode: two could look like one
            ino: match self.options.renumber || old {
                true => self.number(key(entry)),
                false => st.ino,
            },
            mode: kind_bits(st.kind) | st.mode,
            uid: self.options.owner.0.unwrap_or(st.uid),
            gid: self.options.owner.1.unwrap_or(st.gid),
            nlink: match st.kind {
                Kind::Directory => 2,
                _ => self.names.get(&key(entry)).copied().unwrap_or(1),
            },
            rdev: st.rdev,
            mtime: self.mtime(st.mtime.0),
            size,
            sum: 0,
        };
        if !matches!(st.kind, Kind::CharDevice | Kind::BlockDevice) {
            fields.rdev = (0, 0);
        }
        if let Some(target) = target {
            let target = target.as_os_str().as_bytes();
            self.put(&layout.encode(&fields, name)?)?;
            self.put(target)?;
            return self.pad(layout.unit());
        }
        if size == 0 {
            return self.put(&layout.encode(&fields, name)?);
        }
        let file = File::from(entry.open()?);
        if layout == Layout::Crc {
            fields.sum = sum(&file)?;
        }
        self.put(&layout.encode(&fields, name)?)?;
        self.content(file, size)?;
        self.pad(layout.unit())
    }

    fn add_tar(&mut self, name: &[u8], entry: &Entry<'_>) -> Result<()> {
        let st = &entry.stat;
        let kind = match st.kind {
            Kind::Directory => tar::Kind::Directory,
            Kind::File => tar::Kind::File,
            Kind::Symlink => tar::Kind::Symlink,
            Kind::CharDevice => tar::Kind::CharDevice,
            Kind::BlockDevice => tar::Kind::BlockDevice,
            Kind::Fifo => tar::Kind::Fifo,
            Kind::Socket => {
                println!("left out: {} is a socket", String::from_utf8_lossy(name));
                return Ok(());
            }
        };
        let name = match kind {
            tar::Kind::Directory => [name, b"/"].concat(),
            _ => name.to_vec(),
        };
        let mut member = Member {
            kind,
            name: &name,
            link: b"",
            mode: st.mode,
            uid: self.options.owner.0.unwrap_or(st.uid),
            gid: self.options.owner.1.unwrap_or(st.gid),
            user: "",
            mtime: self.mtime(st.mtime.0).cast_signed(),
            size: 0,
            device: matches!(st.kind, Kind::CharDevice | Kind::BlockDevice).then_some(st.rdev),
            records: Vec::new(),
            sparse: None,
        };
        let first = match st.nlink > 1 && kind != tar::Kind::Directory {
            true => self.first_names.get(&key(entry)).cloned(),
            false => None,
        };
        let link = entry.read_link().map(|link| link.as_os_str().as_bytes().to_vec());
        let mut content = None;
        if let Some(first) = &first {
            member.kind = tar::Kind::HardLink;
            member.link = first;
        } else {
            self.first_names.insert(key(entry), name.clone());
            match (&link, kind) {
                (Ok(link), tar::Kind::Symlink) => member.link = link,
                (_, tar::Kind::File) => {
                    member.size = st.size;
                    content = Some(File::from(entry.open()?));
                }
                _ => {}
            }
        }
        let format = match self.options.format {
            Format::Tar => tar::Format::V7,
            _ => tar::Format::Ustar,
        };
        let mut header = Vec::new();
        member.write(format, &mut header)?;
        self.put(&header)?;
        match content {
            Some(file) => {
                self.content(file, st.size)?;
                self.pad(BLOCK as u64)
            }
            None => Ok(()),
        }
    }

    fn mtime(&self, mtime: i64) -> u64 {
        let mtime = self.options.latest.map_or(mtime, |latest| mtime.min(latest));
        // none of the formats has negative ones
        mtime.max(0).cast_unsigned()
    }

    fn number(&mut self, key: Key) -> u64 {
        let last = &mut self.last_ino;
        *self.inodes.entry(key).or_insert_with(|| {
            *last += 1;
            *last
        })
    }

    fn content(&mut self, file: File, size: u64) -> Result<()> {
        let copied = std::io::copy(&mut file.take(size), &mut self.out)?;
        if copied < size {
            return Error::unsuitable("it changed meanwhile");
        }
        self.at += size;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }

    fn pad(&mut self, unit: u64) -> Result<()> {
        self.at += pad(self.at, unit, &mut self.out)?;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        match layout(self.options.format) {
            Some(layout) => {
                let last = Fields {
                    nlink: 1,
                    ..Fields::default()
                };
                self.put(&layout.encode(&last, TRAILER)?)?;
            }
            None => self.put(&[0; 2 * BLOCK])?,
        }
        self.pad(RECORD)?;
        Ok(self.out.flush()?)
    }
}

fn layout(format: Format) -> Option<Layout> {
    Some(match format {
        Format::Bin => Layout::Bin,
        Format::Odc => Layout::Odc,
        Format::Newc => Layout::Newc,
        Format::Crc => Layout::Crc,
        Format::Tar | Format::Ustar => return None,
    })
}

/// The type bits of a mode (sys/stat.h).
fn kind_bits(kind: Kind) -> u32 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::CharDevice => 0o020_000,
        Kind::Directory => 0o040_000,
        Kind::BlockDevice => 0o060_000,
        Kind::File => 0o100_000,
        Kind::Symlink => 0o120_000,
        Kind::Socket => 0o140_000,
    }
}

/// The sum of a file's bytes, from which on it is read again.
fn sum(mut file: &File) -> Result<u32> {
    let mut buffer = vec![0; 64 * 1024];
    let mut sum = 0u32;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => {
                for byte in &buffer[..length] {
                    sum = sum.wrapping_add(u32::from(*byte));
                }
            }
        }
    }
    file.rewind()?;
    Ok(sum)
}

/// Where the archive in `file` ends, its trailer left out, and the largest inode number in it.
fn end_of(mut file: &File, format: Format) -> Result<(u64, u64)> {
    file.rewind()?;
    let Some(layout) = layout(format) else {
        return Ok((end_of_tar(file)?, 0));
    };
    let mut from = std::io::BufReader::new(file);
    let (mut at, mut last) = (0u64, 0);
    loop {
        let (fields, name, length) = layout.decode(&mut from)?;
        if name == TRAILER {
            return Ok((at, last));
        }
        let content = fields.size.next_multiple_of(layout.unit());
        from.seek_relative(content.cast_signed())?;
        at += length + content;
        last = last.max(fields.ino);
    }
}

/// Where the first block of zeros is.
fn end_of_tar(file: &File) -> Result<u64> {
    let mut from = std::io::BufReader::new(file);
    let mut block = [0; BLOCK];
    let mut at = 0u64;
    loop {
        from.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(at);
        }
        let size = std::str::from_utf8(&block[124..135])
            .ok()
            .and_then(|digits| i64::from_str_radix(digits.trim(), 8).ok())
            .ok_or_else(|| Error::Unsuitable("what is appended to is no archive of this format".into()))?;
        let content = (size + BLOCK as i64 - 1) / BLOCK as i64 * BLOCK as i64;
        from.seek_relative(content)?;
        at += BLOCK as u64 + content as u64;
    }
}

#[cfg(test)]
mod tests;
