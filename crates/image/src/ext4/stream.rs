//! What goes into free blocks, one after the other: few large writes, whatever it consists of.

use direct::{Behind, Buffer, CHUNK, Writer};
use rustix::fs::Advice;

use crate::ext4::groups::Volume;
use crate::ext4::space::Space;
use crate::{Error, Result};

/// Buffers that wait for the disk while the next one is filled.
const BEHIND: usize = 2;

/// Contents on their way to the next free blocks.
#[derive(Debug)]
pub struct Stream {
    space: Space,
    buffer: Buffer,
    /// Where much is written: past the page cache, since nobody reads the files in this form again.
    behind: Option<Behind>,
    /// Bytes of the buffer in use, which go to `first` and the blocks after it.
    filled: usize,
    first: u64,
}

impl Stream {
    /// A stream that carries about `bytes`.
    pub fn into(volume: &Volume<'_>, bytes: u64) -> Result<Self> {
        let behind = match bytes >= direct::LARGE {
            true => {
                let file = volume.image.file().try_clone();
                let writer = Writer::new(file.map_err(Error::io("write to the image"))?);
                // what is read ahead of bitmaps and inodes would be such blocks, as they were
                rustix::fs::fadvise(volume.image.file(), 0, None, Advice::Random).ok();
                Some(Behind::new(writer, BEHIND, CHUNK))
            }
            false => None,
        };
        Ok(Self {
            space: Space::of(volume)?,
            buffer: Buffer::new(CHUNK.max(volume.fs.block_size)),
            behind,
            filled: 0,
            first: 0,
        })
    }

    /// The next free block and room for what belongs in it and the ones behind it, at most `most` of them: whole blocks,
    /// one at least, with anything in them.
    pub fn room(&mut self, volume: &mut Volume<'_>, most: u64) -> Result<(u64, &mut [u8])> {
        let size = volume.fs.block_size;
        let Some((block, length)) = self.space.run(volume, most)? else {
            return Err(full());
        };
        let is_next = block == self.first + (self.filled / size) as u64;
        if !is_next || self.filled == self.buffer.len() {
            self.write(volume)?;
        }
        if self.filled == 0 {
            self.first = block;
        }
        let room = &mut self.buffer[self.filled..];
        let length = room.len().min(length as usize * size);
        Ok((block, &mut room[..length]))
    }

    /// Takes the first `blocks` of the room.
    pub fn keep(&mut self, volume: &Volume<'_>, blocks: u64) {
        self.filled += blocks as usize * volume.fs.block_size;
        self.space.take(blocks);
    }

    /// Puts what is at most a block into the next one and says which that is.
    pub fn push(&mut self, volume: &mut Volume<'_>, bytes: &[u8]) -> Result<u64> {
        let size = volume.fs.block_size;
        let (block, room) = self.room(volume, 1)?;
        let (content, rest) = room[..size].split_at_mut(bytes.len());
        content.copy_from_slice(bytes);
        rest.fill(0);
        self.keep(volume, 1);
        Ok(block)
    }

    /// The block that the next [`push`](Self::push) will use.
    pub fn next(&mut self, volume: &mut Volume<'_>) -> Result<u64> {
        match self.space.run(volume, 1)? {
            Some((block, _)) => Ok(block),
            None => Err(full()),
        }
    }

    /// Writes the rest, and says how many blocks were used.
    pub fn finish(mut self, volume: &mut Volume<'_>) -> Result<u64> {
        self.write(volume)?;
        if let Some(behind) = self.behind.take() {
            behind.finish().map_err(Error::io("write to the image"))?;
            rustix::fs::fadvise(volume.image.file(), 0, None, Advice::Normal).ok();
        }
        self.space.finish(volume)
    }

    fn write(&mut self, volume: &Volume<'_>) -> Result<()> {
        if self.filled > 0 {
            let at = volume.fs.block_at(self.first);
            match &mut self.behind {
                Some(behind) => behind
                    .write(&mut self.buffer, self.filled, at)
                    .map_err(Error::io("write to the image"))?,
                None => volume.image.write(&self.buffer[..self.filled], at)?,
            }
            self.filled = 0;
        }
        Ok(())
    }
}

fn full() -> Error {
    Error::unsuitable("the file system has too few blocks for the tree: make it larger")
}
