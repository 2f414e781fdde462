//! Extended attributes: in the inode what fits, all else in one block.
//!
//! ```text
//! inode: magic, entries →  … ← values
//! block: header (magic, references, blocks, hash, checksum), entries → … ← values
//! entry: length of the name, index of its prefix, place of the value, 4 bytes unused, size, hash, name; in whole words
//! ```

use std::path::Path;

use crate::ext4::format::{Checksums, Fs, put_u16, put_u32, u16_at, u32_at};
use crate::ext4::inode;
use crate::{Error, Result, crc32c};

const MAGIC: u32 = 0xea02_0000;
const HEADER: usize = 32;
const ENTRY: usize = 16;
/// What attributes take in an inode before there is one: the magic, and the end of the entries.
const EMPTY: usize = 4 + 4;
/// What an inode has for them in a file system made here.
const ROOM: usize = 96;

const USER: u8 = 1;
const ACL: u8 = 2;
const DEFAULT_ACL: u8 = 3;
const TRUSTED: u8 = 4;
const SECURITY: u8 = 6;

/// The attributes of one inode, as ext4 has them.
#[derive(Debug, Default)]
pub struct Attributes {
    /// All that is behind the extra part of the inode; nothing where it has no attributes.
    pub in_inode: Vec<u8>,
    /// The block, if one is needed: without its checksum, which depends on where it is written.
    pub block: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Attribute {
    prefix: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attributes {
    /// Of the names and values of the entry `path`. Those of name spaces that ext4 does not have are a matter of the file
    /// system that the tree lies on, and left out.
    pub fn of(fs: &Fs, path: &Path, all: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self> {
        let refused = |why: &str| Error::unsuitable(format!("/{}: {why}", path.display()));
        let mut left = Vec::with_capacity(all.len());
        for (name, value) in all {
            left.extend(attribute(&name, value).map_err(refused)?);
        }
        // what is read at every access first
        left.sort_unstable_by(|a, b| (a.prefix != SECURITY, key(a)).cmp(&(b.prefix != SECURITY, key(b))));
        let room = inode::attribute_room(fs);
        let mut in_inode = Vec::new();
        let mut used = EMPTY;
        left.retain_mut(|attribute| {
            let fits = used + attribute.size() <= room;
            if fits {
                used += attribute.size();
                in_inode.push(Attribute {
                    prefix: attribute.prefix,
                    name: std::mem::take(&mut attribute.name),
                    value: std::mem::take(&mut attribute.value),
                });
            }
            !fits
        });
        left.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let in_block = HEADER + 4 + left.iter().map(Attribute::size).sum::<usize>();
        if in_block > fs.block_size {
            return Err(refused(&format!(
                "its extended attributes take {in_block} bytes, of which ext4 has {} for them",
                fs.block_size
            )));
        }
        let mut made = Self::default();
        if !in_inode.is_empty() {
            made.in_inode = vec![0; room];
            put_u32(&mut made.in_inode, 0, MAGIC);
            lay_out(&mut made.in_inode[4..], 0, &in_inode, false);
        }
        if !left.is_empty() {
            let mut block = vec![0; fs.block_size];
            put_u32(&mut block, 0x0, MAGIC);
            put_u32(&mut block, 0x4, 1);
            put_u32(&mut block, 0x8, 1);
            let hash = lay_out(&mut block, HEADER, &left, true);
            put_u32(&mut block, 0xc, hash);
            made.block = Some(block);
        }
        Ok(made)
    }
}

/// Whether these attributes of an entry do not all fit in its inode.
pub fn need_block(all: Vec<(Vec<u8>, Vec<u8>)>) -> bool {
    let sizes = all.into_iter().filter_map(|(name, value)| {
        // one that is refused takes no space
        let attribute = attribute(&name, value).ok()??;
        Some(attribute.size())
    });
    EMPTY + sizes.sum::<usize>() > ROOM
}

/// Sets the checksum of the attributes' block that becomes block `at`.
pub fn set_checksum(fs: &Fs, block: &mut [u8], at: u64) {
    if let Checksums::Metadata(seed) = fs.checksums {
        let sum = crc32c::update(crc32c::update(seed, &at.to_le_bytes()), block);
        put_u32(block, 0x10, sum);
    }
}

/// Writes entries from `from` on and their values from the end down; the places of the values count from the start of
/// `area`. Returns the hash of all of them.
fn lay_out(area: &mut [u8], from: usize, attributes: &[Attribute], is_hashed: bool) -> u32 {
    let (mut at, mut end, mut all) = (from, area.len(), 0u32);
    for attribute in attributes {
        let (name, value) = (&attribute.name, &attribute.value);
        if !value.is_empty() {
            end -= value.len().next_multiple_of(4);
            area[end..end + value.len()].copy_from_slice(value);
            put_u16(area, at + 2, end as u16);
        }
        area[at] = name.len() as u8;
        area[at + 1] = attribute.prefix;
        put_u32(area, at + 8, value.len() as u32);
        area[at + ENTRY..at + ENTRY + name.len()].copy_from_slice(name);
        if is_hashed {
            let hash = attribute.hash();
            put_u32(area, at + 12, hash);
            all = all.rotate_left(16) ^ hash;
        }
        at += ENTRY + name.len().next_multiple_of(4);
    }
    all
}

impl Attribute {
    fn size(&self) -> usize {
        ENTRY + self.name.len().next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    /// Of name and value, by which equal blocks are found.
    fn hash(&self) -> u32 {
        let of_name = self
            .name
            .iter()
            .fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(of_name, |hash, word| {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            hash.rotate_left(16) ^ u32::from_le_bytes(bytes)
        })
    }
}

/// What the entries of a block are sorted by.
fn key(attribute: &Attribute) -> (u8, usize, &[u8]) {
    (attribute.prefix, attribute.name.len(), &attribute.name)
}

fn attribute(name: &[u8], value: Vec<u8>) -> std::result::Result<Option<Attribute>, &'static str> {
    let acl = match name {
        b"system.posix_acl_access" => Some(ACL),
        b"system.posix_acl_default" => Some(DEFAULT_ACL),
        _ => None,
    };
    if let Some(prefix) = acl {
        let value = access_list(&value).ok_or("its access control list cannot be read")?;
        return Ok(Some(Attribute {
            prefix,
            name: Vec::new(),
            value,
        }));
    }
    let prefixes: [(&[u8], u8); 3] = [(b"user.", USER), (b"trusted.", TRUSTED), (b"security.", SECURITY)];
    Ok(prefixes.iter().find_map(|(text, prefix)| {
        let name = name.strip_prefix(*text)?.to_vec();
        Some(Attribute {
            prefix: *prefix,
            name,
            value: value.clone(),
        })
    }))
}

/// An access control list from the form of the system calls (version 2: every entry has an id) to that of ext4
/// (version 1: only named users and groups have one).
fn access_list(list: &[u8]) -> Option<Vec<u8>> {
    const NAMED_USER: u16 = 0x2;
    const NAMED_GROUP: u16 = 0x8;
    let entries = list.strip_prefix(&2u32.to_le_bytes())?;
    if !entries.len().is_multiple_of(8) {
        return None;
    }
    let mut list = 1u32.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let has_id = matches!(u16_at(entry, 0), NAMED_USER | NAMED_GROUP);
        list.extend_from_slice(&entry[..4]);
        if has_id {
            list.extend_from_slice(&u32_at(entry, 4).to_le_bytes());
        }
    }
    Some(list)
}
