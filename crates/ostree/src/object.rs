//! The objects of a repository: what is hashed, what is stored.
//!
//! ```text
//! dirtree   (a(say)a(sayay))      files: name, checksum; directories: name, checksums of their dirtree and dirmeta
//! dirmeta   (uuua(ayay))          uid, gid, mode, attributes
//! file      (uuuusa(ayay))        uid, gid, mode, device 0, target of a symbolic link, attributes; then the content
//! commit    (a{sv}aya(say)sstayay)  metadata, parent, related, subject, body, time, checksums of the root's dirtree
//!                                 and dirmeta
//! ```
//!
//! Numbers are big-endian; names of attributes end in NUL. The name of an object is the SHA-256 of its bytes; a file's
//! that of its header, with its length before it, and its content. (ostree-core.h, "ostree-repo"(5).)

use std::fmt;

use sha2::{Digest, Sha256};

use crate::gvariant::Value;

/// The SHA-256 that names an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum(pub [u8; 32]);

/// Owner, mode (with the type bits) and attributes of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    /// Names and values, sorted by name.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An entry of metadata of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Text(String),
    Flag(bool),
    List(Vec<String>),
}

/// What a commit says beside its tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Keys and values; they are stored sorted by key.
    pub metadata: Vec<(String, Entry)>,
    pub parent: Option<Checksum>,
    pub subject: String,
    pub body: String,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// The kind of a metadata object, told by its name's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    DirTree,
    DirMeta,
    Commit,
}

impl Kind {
    pub fn extension(self) -> &'static str {
        match self {
            Self::DirTree => "dirtree",
            Self::DirMeta => "dirmeta",
            Self::Commit => "commit",
        }
    }
}

impl Checksum {
    /// The checksum of a metadata object.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    fn value(&self) -> Value {
        Value::bytes(&self.0)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

impl Meta {
    fn attributes(&self) -> Value {
        let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
            let mut name = name.clone();
            name.push(0);
            Value::tuple(&[Value::bytes(&name), Value::bytes(value)])
        };
        Value::array(&self.attributes.iter().map(pair).collect::<Vec<_>>(), 1)
    }

    fn numbers(&self) -> Vec<Value> {
        [self.uid, self.gid, self.mode].map(Value::u32_be).to_vec()
    }

    /// A `dirmeta` object; also what a bare-user repository keeps in the attribute `user.ostreemeta` of a file.
    pub fn dirmeta(&self) -> Vec<u8> {
        let mut members = self.numbers();
        members.push(self.attributes());
        Value::tuple(&members).into_bytes()
    }

    /// The header that is hashed before a file's content.
    pub fn file_header(&self, target: &str) -> Vec<u8> {
        let mut members = self.numbers();
        members.extend([Value::u32_be(0), Value::string(target), self.attributes()]);
        with_length(Value::tuple(&members).into_bytes())
    }

    /// The header that an archive repository stores before the compressed content of `size` bytes.
    pub fn archive_header(&self, target: &str, size: u64) -> Vec<u8> {
        let mut members = vec![Value::u64_be(size)];
        members.extend(self.numbers());
        members.extend([Value::u32_be(0), Value::string(target), self.attributes()]);
        with_length(Value::tuple(&members).into_bytes())
    }
}

/// A header as it stands in a stream: its length, four bytes that align it, itself.
fn with_length(header: Vec<u8>) -> Vec<u8> {
    let mut bytes = (header.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend(header);
    bytes
}

/// A `dirtree` object of files (name, checksum) and directories (name, dirtree, dirmeta), each sorted by name.
pub fn dirtree(files: &[(String, Checksum)], directories: &[(String, Checksum, Checksum)]) -> Vec<u8> {
    let file = |(name, checksum): &(String, Checksum)| Value::tuple(&[Value::string(name), checksum.value()]);
    let directory = |(name, tree, meta): &(String, Checksum, Checksum)| {
        Value::tuple(&[Value::string(name), tree.value(), meta.value()])
    };
    Value::tuple(&[
        Value::array(&files.iter().map(file).collect::<Vec<_>>(), 1),
        Value::array(&directories.iter().map(directory).collect::<Vec<_>>(), 1),
    ])
    .into_bytes()
}

impl Commit {
    /// The `commit` object of the tree whose root has these checksums.
    pub fn object(&self, root_tree: Checksum, root_meta: Checksum) -> Vec<u8> {
        let mut metadata = self.metadata.clone();
        metadata.sort_by(|a, b| a.0.cmp(&b.0));
        let entry = |(key, entry): &(String, Entry)| Value::tuple(&[Value::string(key), entry.value()]);
        let metadata: Vec<Value> = metadata.iter().map(entry).collect();
        let parent = self.parent.map(|parent| parent.0.to_vec()).unwrap_or_default();
        Value::tuple(&[
            Value::array(&metadata, 8),
            Value::bytes(&parent),
            Value::array(&[], 1),
            Value::string(&self.subject),
            Value::string(&self.body),
            Value::u64_be(self.timestamp),
            root_tree.value(),
            root_meta.value(),
        ])
        .into_bytes()
    }
}

impl Entry {
    fn value(&self) -> Value {
        match self {
            Self::Text(text) => Value::variant(&Value::string(text), "s"),
            Self::Flag(flag) => Value::variant(&Value::boolean(*flag), "b"),
            Self::List(list) => {
                let list: Vec<Value> = list.iter().map(|text| Value::string(text)).collect();
                Value::variant(&Value::array(&list, 1), "as")
            }
        }
    }
}
