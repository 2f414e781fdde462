//! A tree into a fresh file system.
//!
//! One walk, in one order. Each entry gets the next inode, and its content the next blocks, extents and attributes behind
//! it; a directory's blocks come when all in it is there. So almost all is one stream of large writes. The walk is
//! [ahead](super::ahead).

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use tree::{Kind, Tree};

use crate::ext4::ahead::{self, Ahead, Body, Entry};
use crate::ext4::attributes::{self, Attributes};
use crate::ext4::content;
use crate::ext4::directory::{self, Directory};
use crate::ext4::extents::Extents;
use crate::ext4::format::ROOT;
use crate::ext4::groups::Volume;
use crate::ext4::inode::{self, Inode};
use crate::ext4::stream::Stream;
use crate::ext4::table::Table;
use crate::{Error, Result, SparseFile};

/// Where e2fsck puts what it finds; its blocks are there from the start.
const LOST_AND_FOUND: &str = "lost+found";
/// The kernel's limit of hard links (`EXT4_LINK_MAX`); more directories than this make the count 1.
const MOST_LINKS: u32 = 65_000;
/// Bytes of a link's text that the inode itself has room for.
const SHORT_LINK: usize = 59;

/// What goes into a file system beside the tree's own.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Seconds: the time of what mke2fs made.
    pub now: i64,
    /// No file is later than this.
    pub clamp: Option<i64>,
    /// About how many bytes the tree has.
    pub bytes: u64,
}

/// Fills the file system that mke2fs made, empty, at `offset` of `image`.
pub fn populate(image: &SparseFile, offset: u64, tree: &Tree, terms: Terms) -> Result<()> {
    let mut volume = Volume::read(image, offset)?;
    let latest = terms.clamp.unwrap_or(i64::MAX);
    let table = Table::of(&mut volume, terms.now.min(latest))?;
    let stream = Stream::into(&volume, terms.bytes)?;
    let mut writer = Writer {
        volume,
        table,
        stream,
        latest,
        lost: None,
        open: Vec::new(),
        linked: HashMap::new(),
    };
    writer.find_lost_and_found()?;
    std::thread::scope(|scope| Ahead::begin(tree, scope)?.each(|entry, batch| writer.enter(entry, batch)))?;
    writer.finish()
}

struct Writer<'a> {
    volume: Volume<'a>,
    table: Table,
    stream: Stream,
    /// No file is later than this.
    latest: i64,
    /// The inode of `lost+found`, until the tree is seen to have its own.
    lost: Option<u32>,
    /// From the root to where the walk is.
    open: Vec<Open>,
    /// Files with several names: by device and inode of the tree.
    linked: HashMap<(u64, u64), (u32, Inode)>,
}

/// A directory that is not complete.
struct Open {
    directory: Directory,
    inode: Inode,
    subdirectories: u32,
    /// The blocks that it has already.
    made: Extents,
}

impl Writer<'_> {
    fn find_lost_and_found(&mut self) -> Result<()> {
        let root = self.made(ROOT)?;
        let mut block = vec![0; self.volume.fs.block_size];
        for (_, at) in root.blocks() {
            self.volume.image.read(&mut block, self.volume.fs.block_at(at))?;
            self.lost = self.lost.or(directory::find(&block, LOST_AND_FOUND.as_bytes()));
        }
        Ok(())
    }

    /// The blocks of a directory of mke2fs.
    fn made(&self, number: u32) -> Result<Extents> {
        let inode = self.table.made(&self.volume.fs, number);
        let inode = inode.ok_or_else(|| Error::unsuitable("the fresh file system has no root directory"))?;
        Extents::of_place(&inode[0x28..0x64])
    }

    fn enter(&mut self, entry: &Entry, batch: &[u8]) -> Result<()> {
        let name = entry.name.as_bytes();
        let is_root = entry.path.as_os_str().is_empty();
        let depth = ahead::depth(&entry.path);
        while self.open.len() > depth {
            self.leave()?;
        }
        let kind = entry.stat.kind;
        let is_lost = depth == 1 && name == LOST_AND_FOUND.as_bytes() && self.lost.is_some();
        if is_lost && kind != Kind::Directory {
            return Err(Error::unsuitable("/lost+found can only be a directory in ext4"));
        }
        let twin =
            (kind != Kind::Directory && entry.stat.nlink > 1).then_some((entry.stat.dev, entry.stat.ino));
        if let Some((number, inode)) = twin.and_then(|twin| self.linked.get_mut(&twin)) {
            inode.links += 1;
            let (number, links) = (*number, inode.links);
            if links > MOST_LINKS {
                return Err(Error::unsuitable(format!(
                    "/{} has more than {MOST_LINKS} names, the most that ext4 can have",
                    entry.path.display()
                )));
            }
            self.name(name, number, kind);
            return Ok(());
        }
        let number = match self.lost {
            _ if is_root => ROOT,
            Some(lost) if is_lost => lost,
            _ => self.table.take(&mut self.volume, kind == Kind::Directory)?,
        };
        let (lowest, highest) = inode::times(&self.volume.fs);
        let time = entry.stat.mtime.0.min(self.latest).clamp(lowest, highest);
        let mut inode = Inode::of(&entry.stat, time);
        if !is_root {
            self.name(name, number, kind);
        }
        match kind {
            Kind::Directory => {
                let parent = self.open.last_mut().map_or(ROOT, |parent| {
                    parent.subdirectories += 1;
                    parent.directory.inode
                });
                self.attributes(entry, &mut inode)?;
                let made = match is_root || is_lost {
                    true => self.made(number)?,
                    false => Extents::default(),
                };
                if is_lost {
                    self.lost = None;
                }
                self.open.push(Open {
                    directory: Directory {
                        inode: number,
                        parent,
                        entries: Vec::new(),
                    },
                    inode,
                    subdirectories: 0,
                    made,
                });
                return Ok(());
            }
            Kind::File => self.content(entry, batch, &mut inode, number)?,
            Kind::Symlink => self.link(entry, &mut inode, number)?,
            Kind::CharDevice | Kind::BlockDevice => inode.place = inode::device(entry.stat.rdev),
            Kind::Fifo | Kind::Socket => {}
        }
        self.attributes(entry, &mut inode)?;
        self.table.put(&self.volume, number, &inode)?;
        if let Some(twin) = twin {
            self.linked.insert(twin, (number, inode));
        }
        Ok(())
    }

    /// Enters a name in the directory where the walk is.
    fn name(&mut self, name: &[u8], inode: u32, kind: Kind) {
        if let Some(here) = self.open.last_mut() {
            here.directory.entries.push(directory::Entry {
                name: name.into(),
                inode,
                file_type: inode::file_type(kind),
            });
        }
    }

    fn content(&mut self, entry: &Entry, batch: &[u8], inode: &mut Inode, number: u32) -> Result<()> {
        let extents = content::write(&mut self.stream, &mut self.volume, (entry, batch))?;
        inode.size = entry.stat.size;
        if inode.size >= 1 << 31 {
            self.volume.fs.set_large_files();
        }
        self.set_extents(inode, &extents, number)
    }

    fn link(&mut self, entry: &Entry, inode: &mut Inode, number: u32) -> Result<()> {
        let Body::Link(target) = &entry.body else {
            return Ok(());
        };
        let text = target.as_os_str().as_bytes();
        inode.size = text.len() as u64;
        if text.len() <= SHORT_LINK {
            inode.place[..text.len()].copy_from_slice(text);
            return Ok(());
        }
        if text.len() >= self.volume.fs.block_size {
            return Err(Error::unsuitable(format!(
                "the link /{} is longer than a block",
                entry.path.display()
            )));
        }
        let mut extents = Extents::default();
        extents.add(0, self.stream.push(&mut self.volume, text)?);
        self.set_extents(inode, &extents, number)
    }

    fn set_extents(&mut self, inode: &mut Inode, extents: &Extents, number: u32) -> Result<()> {
        let seed = self.volume.fs.inode_seed(number);
        let (place, blocks) = extents.place(&mut self.stream, &mut self.volume, seed)?;
        inode.place = place;
        inode.blocks += blocks + extents.count();
        inode.flags |= inode::EXTENTS;
        Ok(())
    }

    /// Extended attributes, and the inode flags that the tree [keeps](tree::flags).
    fn attributes(&mut self, entry: &Entry, inode: &mut Inode) -> Result<()> {
        inode.flags |= entry.flags.bits();
        if entry.attributes.is_empty() {
            return Ok(());
        }
        let made = Attributes::of(&self.volume.fs, &entry.path, entry.attributes.clone())?;
        self.volume.fs.set_attributes();
        inode.attributes = made.in_inode;
        if let Some(mut block) = made.block {
            let at = self.stream.next(&mut self.volume)?;
            attributes::set_checksum(&self.volume.fs, &mut block, at);
            inode.attribute_block = self.stream.push(&mut self.volume, &block)?;
            inode.blocks += 1;
        }
        Ok(())
    }

    /// Completes the directory where the walk is.
    fn leave(&mut self) -> Result<()> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let Open {
            mut directory,
            mut inode,
            mut subdirectories,
            made,
        } = open;
        let number = directory.inode;
        if number == ROOT
            && let Some(lost) = self.lost
        {
            subdirectories += 1;
            let entry = directory::Entry {
                name: LOST_AND_FOUND.as_bytes().into(),
                inode: lost,
                file_type: inode::file_type(Kind::Directory),
            };
            let at = directory.entries.partition_point(|other| other.name < entry.name);
            directory.entries.insert(at, entry);
        }
        // those of lost+found stay, so that e2fsck need not find room for it
        let least = if number == ROOT { 0 } else { made.count() as usize };
        let (blocks, has_index) = directory.blocks(&self.volume.fs, least);
        let mut extents = Extents::default();
        let mut made = made.blocks();
        for (logical, block) in (0..).zip(&blocks) {
            let at = match made.next() {
                Some((_, at)) => {
                    self.volume.image.write(block, self.volume.fs.block_at(at))?;
                    at
                }
                None => self.stream.push(&mut self.volume, block)?,
            };
            extents.add(logical, at);
        }
        inode.size = (blocks.len() * self.volume.fs.block_size) as u64;
        inode.flags |= if has_index { inode::INDEX } else { 0 };
        inode.links = 2 + subdirectories;
        if inode.links > MOST_LINKS {
            if !self.volume.fs.has_dir_nlink() {
                return Err(Error::unsuitable(format!(
                    "a directory has {subdirectories} directories, more than this file system can count"
                )));
            }
            inode.links = 1;
        }
        self.set_extents(&mut inode, &extents, number)?;
        self.table.put(&self.volume, number, &inode)
    }

    fn finish(mut self) -> Result<()> {
        while !self.open.is_empty() {
            self.leave()?;
        }
        let mut linked: Vec<_> = std::mem::take(&mut self.linked).into_values().collect();
        linked.sort_unstable_by_key(|(number, _)| *number);
        for (number, inode) in linked.iter().filter(|(_, inode)| inode.links > 1) {
            self.table.put(&self.volume, *number, inode)?;
        }
        let blocks = self.stream.finish(&mut self.volume)?;
        let inodes = self.table.finish(&mut self.volume)?;
        self.volume.finish(blocks, inodes)
    }
}
