//! zip: a tree into an archive, as `zip -r` of Info-ZIP makes it, on all processors.
//!
//! Links are followed, since few readers know them: a file or directory is archived under each of its names. Owners,
//! modes and times are kept in Info-ZIP's fields, sizes beyond 4 GiB as zip64.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tree::{Kind, Stat, Tree};

use crate::deflate::{self, CHUNK};
use crate::zip_records::{LARGE, Record, end};
use crate::{Error, Result, output};

/// What an archive is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// From 0, nothing is compressed, to 9.
    pub level: u32,
    /// Only members one of these patterns matches; all of them without any. `*` matches slashes as well.
    pub include: Vec<String>,
    /// The latest modification time: later ones become it.
    pub latest: Option<i64>,
}

/// Writes `tree` into the empty `file`; how many members it has.
///
/// A link that leads nowhere, or to a directory it lies in, is left out, and told.
pub fn write(tree: &Tree, file: &File, options: &Options) -> Result<u64> {
    let mut archive = Archive {
        file,
        at: 0,
        tree,
        options,
        records: Vec::new(),
    };
    let root = tree.stat_followed("")?;
    let mut above = root.map(|root| vec![(root.dev, root.ino)]).unwrap_or_default();
    archive.directory(Path::new(""), &mut above)?;
    archive.finish()
}

struct Archive<'a> {
    file: &'a File,
    at: u64,
    tree: &'a Tree,
    options: &'a Options,
    records: Vec<Record>,
}

impl Archive<'_> {
    /// Adds what is in the directory `dir`; `above` are it and those it lies in.
    fn directory(&mut self, dir: &Path, above: &mut Vec<(u64, u64)>) -> Result<()> {
        for name in self.tree.list(dir)? {
            let path = dir.join(&name);
            let shown = path.display();
            let Some(stat) = self.tree.stat_followed(&path)? else {
                println!("left out: {shown} leads nowhere");
                continue;
            };
            match stat.kind {
                Kind::File => self.add(&path, &stat)?,
                Kind::Directory if above.contains(&(stat.dev, stat.ino)) => {
                    println!("left out: {shown} leads to a directory it lies in");
                }
                Kind::Directory => {
                    self.add(&path, &stat)?;
                    above.push((stat.dev, stat.ino));
                    self.directory(&path, above)?;
                    above.pop();
                }
                _ => println!("left out: {shown} is neither a file nor a directory"),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, stat: &Stat) -> Result<()> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        let file = stat.kind == Kind::File;
        if !file {
            name.push(b'/');
        }
        let wanted = &self.options.include;
        if !wanted.is_empty() && !wanted.iter().any(|pattern| matches(pattern.as_bytes(), &name)) {
            return Ok(());
        }
        if name.len() > 0xffff {
            return Error::unsuitable(format!("{}: its name is too long", path.display()));
        }
        let mtime = stat.mtime.0;
        let mut record = Record {
            name,
            mode: stat.mode | if file { 0o100_000 } else { 0o040_000 },
            uid: stat.uid,
            gid: stat.gid,
            mtime: self.options.latest.map_or(mtime, |latest| mtime.min(latest)),
            deflated: false,
            crc: 0,
            size: 0,
            packed: 0,
            offset: self.at,
            large: false,
        };
        let failed = || format!("cannot archive {}", path.display());
        if !file {
            self.put(&record.local())?;
        } else if stat.size <= CHUNK as u64 {
            self.small(path, &mut record)
                .map_err(|error| error.about(&failed()))?;
        } else {
            self.large(path, stat.size, &mut record)
                .map_err(|error| error.about(&failed()))?;
        }
        self.records.push(record);
        Ok(())
    }

    /// A file that is compressed in memory, and stored where that does not help.
    fn small(&mut self, path: &Path, record: &mut Record) -> Result<()> {
        let mut content = self.tree.read(path)?;
        let (packed, crc) = deflate::compress(&content, self.options.level, true)?;
        record.crc = crc.sum();
        record.size = content.len() as u64;
        if self.options.level > 0 && packed.len() < content.len() {
            (content, record.deflated) = (packed, true);
        }
        record.packed = content.len() as u64;
        self.put(&record.local())?;
        self.put(&content)
    }

    /// A file that is compressed on all processors: its header is written once more when everything is known.
    fn large(&mut self, path: &Path, size: u64, record: &mut Record) -> Result<()> {
        let file = self.tree.open_file(path)?;
        record.deflated = self.options.level > 0;
        // compressed it may be a little larger
        record.large = size >= LARGE - (LARGE >> 8);
        let header = record.local().len() as u64;
        self.put(&record.local())?;
        let mut out = output::buffered(self.file);
        let copy = |out: &mut dyn Write| -> Result<u64> { Ok(std::io::copy(&mut (&file).take(size), out)?) };
        if record.deflated {
            let (_, sum) = deflate::write(&mut out, self.options.level, copy)?;
            (record.crc, record.size) = (sum.crc, sum.bytes);
        } else {
            let mut summed = flate2::CrcWriter::new(&mut out);
            record.size = copy(&mut summed)?;
            record.crc = summed.crc().sum();
        }
        out.flush()?;
        drop(out);
        if record.size != size {
            return Error::unsuitable("it changed meanwhile");
        }
        let mut file = self.file;
        let end = file.stream_position()?;
        record.packed = end - self.at;
        file.seek(SeekFrom::Start(self.at - header))?;
        file.write_all(&record.local())?;
        file.seek(SeekFrom::Start(end))?;
        self.at = end;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let mut file = self.file;
        self.at += bytes.len() as u64;
        Ok(file.write_all(bytes)?)
    }

    fn finish(mut self) -> Result<u64> {
        let directory: Vec<u8> = self.records.iter().flat_map(Record::central).collect();
        let (count, start) = (self.records.len() as u64, self.at);
        self.put(&directory)?;
        self.put(&end(count, start, directory.len() as u64))?;
        Ok(count)
    }
}

/// Whether a pattern of the shell matches all of `name`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    match first {
        b'*' => {
            // further stars change nothing, but take time
            let rest = &rest[rest.iter().take_while(|byte| **byte == b'*').count()..];
            (0..=name.len()).any(|at| matches(rest, &name[at..]))
        }
        b'?' => !name.is_empty() && matches(rest, &name[1..]),
        b'[' => match class(rest, name.first().copied()) {
            Some((fits, rest)) => fits && matches(rest, &name[1..]),
            None => name.first() == Some(&b'[') && matches(rest, &name[1..]),
        },
        b'\\' if !rest.is_empty() => name.first() == Some(&rest[0]) && matches(&rest[1..], &name[1..]),
        byte => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}

/// Whether the class that ends at `]` has `byte`, and what stands behind it; `None` where it does not end.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<(bool, &[u8])> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let pattern = &pattern[usize::from(negated)..];
    let end = 1 + pattern.get(1..)?.iter().position(|byte| *byte == b']')?;
    let (set, rest) = (&pattern[..end], &pattern[end + 1..]);
    let Some(byte) = byte else {
        return Some((false, rest));
    };
    let mut fits = false;
    let mut at = 0;
    while at < set.len() {
        match set[at..] {
            [low, b'-', high, ..] => {
                fits |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                fits |= set[at] == byte;
                at += 1;
            }
        }
    }
    Some((fits != negated, rest))
}

#[cfg(test)]
mod tests;
