//! Inodes as they lie in the table.

use tree::{Kind, Stat};

use crate::crc32c;
use crate::ext4::format::{Checksums, Fs, put_u16, put_u32, u16_at};

/// The part that every inode has.
const GOOD_OLD_SIZE: usize = 128;
/// Where the extra part has its last field that is set here.
const PROJECT_AT: usize = 0x9c;

/// `EXT4_EXTENTS_FL`: the place for block numbers has extents.
pub const EXTENTS: u32 = 0x8_0000;
/// `EXT4_INDEX_FL`: the directory has an index.
pub const INDEX: u32 = 0x1000;

/// What an inode says.
#[derive(Debug, Clone)]
pub struct Inode {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub links: u32,
    /// Blocks in use, those of its metadata included.
    pub blocks: u64,
    pub flags: u32,
    /// Extents, the text of a link or the number of a device.
    pub place: [u8; 60],
    /// Seconds: all its times.
    pub time: i64,
    /// The block of its extended attributes; 0 for none.
    pub attribute_block: u64,
    /// Those in the inode itself, all that is behind the extra part.
    pub attributes: Vec<u8>,
}

impl Inode {
    /// One with the metadata of an entry, without content.
    pub fn of(stat: &Stat, time: i64) -> Self {
        Self {
            kind: stat.kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            size: 0,
            links: 1,
            blocks: 0,
            flags: 0,
            place: [0; 60],
            time,
            attribute_block: 0,
            attributes: Vec::new(),
        }
    }

    /// The bytes of the inode `number`.
    pub fn encode(&self, fs: &Fs, number: u32) -> Vec<u8> {
        let mut inode = vec![0; fs.inode_size];
        put_u16(&mut inode, 0x0, type_bits(self.kind) | self.mode as u16);
        put_u16(&mut inode, 0x2, self.uid as u16);
        put_u16(&mut inode, 0x78, (self.uid >> 16) as u16);
        put_u16(&mut inode, 0x18, self.gid as u16);
        put_u16(&mut inode, 0x7a, (self.gid >> 16) as u16);
        put_u32(&mut inode, 0x4, self.size as u32);
        put_u32(&mut inode, 0x6c, (self.size >> 32) as u32);
        put_u16(&mut inode, 0x1a, self.links as u16);
        let sectors = self.blocks * (fs.block_size as u64 / 512);
        put_u32(&mut inode, 0x1c, sectors as u32);
        put_u16(&mut inode, 0x74, (sectors >> 32) as u16);
        put_u32(&mut inode, 0x20, self.flags);
        inode[0x28..0x64].copy_from_slice(&self.place);
        put_u32(&mut inode, 0x68, self.attribute_block as u32);
        put_u16(&mut inode, 0x76, (self.attribute_block >> 32) as u16);
        if fs.extra_size > 0 {
            put_u16(&mut inode, 0x80, fs.extra_size);
            let at = GOOD_OLD_SIZE + usize::from(fs.extra_size);
            inode[at..at + self.attributes.len()].copy_from_slice(&self.attributes);
        }
        set_times(&mut inode, self.time);
        set_checksum(fs, number, &mut inode);
        inode
    }
}

/// What is left of an inode for its attributes.
pub fn attribute_room(fs: &Fs) -> usize {
    fs.inode_size - GOOD_OLD_SIZE - usize::from(fs.extra_size)
}

/// The highest time that an inode can have, and the lowest.
pub fn times(fs: &Fs) -> (i64, i64) {
    let lowest = i64::from(i32::MIN);
    let bits = if fs.extra_size > 0 { 34 } else { 32 };
    (lowest, lowest + (1 << bits) - 1)
}

/// Sets access, change, modification and creation time, all without nanoseconds: where and when the tree was made shows in
/// all but the modification time, and in the nanoseconds.
pub fn set_times(inode: &mut [u8], time: i64) {
    // the extra field adds two bits above the signed 32; the other 30 are nanoseconds
    let high = ((time - i64::from(time as i32)) >> 32) as u32 & 3;
    for at in [0x8, 0xc, 0x10] {
        put_u32(inode, at, time as u32);
    }
    if has_extra(inode) {
        for at in [0x84, 0x88, 0x8c, 0x94] {
            put_u32(inode, at, high);
        }
        put_u32(inode, 0x90, time as u32);
    }
}

/// Computes the checksum of the inode `number` anew, if there is one.
pub fn set_checksum(fs: &Fs, number: u32, inode: &mut [u8]) {
    let Checksums::Metadata(seed) = fs.checksums else {
        return;
    };
    let seed = crc32c::update(seed, &number.to_le_bytes());
    let seed = crc32c::update(seed, &inode[0x64..0x68]); // generation
    let has_extra = has_extra(inode);
    put_u16(inode, 0x7c, 0);
    if has_extra {
        put_u16(inode, 0x82, 0);
    }
    let sum = crc32c::update(seed, inode);
    put_u16(inode, 0x7c, sum as u16);
    if has_extra {
        put_u16(inode, 0x82, (sum >> 16) as u16);
    }
}

fn has_extra(inode: &[u8]) -> bool {
    inode.len() > GOOD_OLD_SIZE && GOOD_OLD_SIZE + usize::from(u16_at(inode, 0x80)) >= PROJECT_AT
}

/// A device's number as it stands in its inode: what fits it in the old form, all else in the new one.
pub fn device((major, minor): (u32, u32)) -> [u8; 60] {
    let mut place = [0; 60];
    if major < 256 && minor < 256 {
        put_u32(&mut place, 0, major << 8 | minor);
    } else {
        put_u32(&mut place, 4, minor & 0xff | major << 8 | (minor & !0xff) << 12);
    }
    place
}

/// What a directory entry says of this kind.
pub fn file_type(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

fn type_bits(kind: Kind) -> u16 {
    match kind {
        Kind::Fifo => 0x1000,
        Kind::CharDevice => 0x2000,
        Kind::Directory => 0x4000,
        Kind::BlockDevice => 0x6000,
        Kind::File => 0x8000,
        Kind::Symlink => 0xa000,
        Kind::Socket => 0xc000,
    }
}
