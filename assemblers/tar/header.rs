//! Headers of members: ustar, with a pax header before it where ustar has no room (POSIX.1-2001, pax).

use std::io::{self, Write};

use ::tar::{EntryType, Header};

/// What stands in the headers of a member.
#[derive(Debug)]
pub struct Member<'a> {
    pub kind: EntryType,
    /// With a slash at the end of a directory.
    pub name: &'a [u8],
    /// The target of a symbolic link, or the member a hard link is another name of.
    pub link: &'a [u8],
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Bytes that follow the header.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Further pax records, such as `SCHILY.xattr.user.x`.
    pub records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Size of a block: headers are one, content is padded to one.
pub const BLOCK: usize = 512;
const NAME: usize = 100;
/// The largest numbers that ustar's octal fields hold.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;

impl Member<'_> {
    /// Writes the headers; the content is the caller's.
    pub fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        let records = self.all_records();
        if !records.is_empty() {
            let body: Vec<u8> = records
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            set_bytes(&mut header, b"PaxHeaders", b"");
            header.set_mode(0o644);
            header.set_size(body.len() as u64);
            finish(&mut header, self.mtime, out)?;
            out.write_all(&body)?;
            pad(body.len() as u64, out)?;
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(self.kind);
        set_bytes(&mut header, self.name, self.link);
        header.set_mode(self.mode & 0o7777);
        header.set_uid(self.uid.min(MAX_ID).into());
        header.set_gid(self.gid.min(MAX_ID).into());
        header.set_size(self.size.min(MAX_SIZE));
        if let Some((major, minor)) = self.device {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        finish(&mut header, self.mtime, out)
    }

    /// The records of what ustar cannot hold, then the further ones.
    fn all_records(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |key: &str, value: Vec<u8>| records.push((key.as_bytes().to_vec(), value));
        if self.name.len() > NAME {
            add("path", self.name.to_vec());
        }
        if self.link.len() > NAME {
            add("linkpath", self.link.to_vec());
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > MAX_ID {
                add(key, id.to_string().into_bytes());
            }
        }
        if self.size > MAX_SIZE {
            add("size", self.size.to_string().into_bytes());
        }
        if self.mtime < 0 || self.mtime as u64 > MAX_SIZE {
            add("mtime", self.mtime.to_string().into_bytes());
        }
        records.append(&mut self.records);
        records
    }
}

/// Writes zeros from `size` bytes of content to the end of the block.
pub fn pad(size: u64, out: &mut dyn Write) -> io::Result<()> {
    let rest = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    out.write_all(&[0; BLOCK][..rest])
}

/// Names as far as they fit: where they do not, a pax record has them whole.
fn set_bytes(header: &mut Header, name: &[u8], link: &[u8]) {
    if let Some(ustar) = header.as_ustar_mut() {
        for (field, bytes) in [(&mut ustar.name, name), (&mut ustar.linkname, link)] {
            let length = bytes.len().min(NAME);
            field[..length].copy_from_slice(&bytes[..length]);
        }
    }
}

fn finish(header: &mut Header, mtime: i64, out: &mut dyn Write) -> io::Result<()> {
    header.set_mtime((mtime.max(0) as u64).min(MAX_SIZE));
    header.set_cksum();
    out.write_all(header.as_bytes())
}

/// `LENGTH KEY=VALUE\n`; the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} ").into_bytes();
    for part in [key, b"=", value, b"\n"] {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"a", b"b"), b"6 a=b\n");
        for size in [1, 3, 4, 90, 91, 92, 93, 94, 95, 989, 990, 991, 992, 993] {
            let bytes = record(b"key", &vec![b'x'; size]);
            let length: usize = String::from_utf8_lossy(&bytes)
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(length, bytes.len());
        }
    }
}
