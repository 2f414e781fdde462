//! [`Shift`]: owners as they are on disk where a user namespace has a tree and its file system cannot be id-mapped.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Gid, Mode, Uid};

use crate::walk::walk;
use crate::xattr::{self, Attributes};
use crate::{Error, Kind, Result, Tree};

/// How many ids a tree has: 0 to 65,535.
const COUNT: u32 = 65_536;

/// The attributes in which ids are.
const CAPABILITY: &[u8] = b"security.capability";
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// The revisions of [`CAPABILITY`], and their lengths (`linux/capability.h`): from the third on the id of the root for
/// whom it counts is at its end.
const REVISION_2: (u8, usize) = (2, 20);
const REVISION_3: (u8, usize) = (3, 24);

/// Of an entry of an ACL (`linux/posix_acl_xattr.h`): tags of those that name a user or a group.
const ACL_HEADER: usize = 4;
const ACL_ENTRY: usize = 8;
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;

/// Moves the owners of a tree from the range of one user namespace to that of another. The default moves nothing.
///
/// Ids outside the range stay as they are. So nothing is moved twice where the ranges have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift {
    /// The host's id of the one namespace's root; 0: the tree has its true owners.
    pub from: u32,
    /// The same of the other.
    pub to: u32,
}

impl Shift {
    /// From true owners to those that the users of a namespace have whose root is `root_id` on the host.
    pub fn into(root_id: u32) -> Self {
        Self { from: 0, to: root_id }
    }

    fn is_none(self) -> bool {
        self.from == self.to
    }

    /// What becomes of an id.
    pub(crate) fn id(self, id: u32) -> u32 {
        match id.checked_sub(self.from) {
            Some(offset) if offset < COUNT => self.to.saturating_add(offset),
            _ => id,
        }
    }

    /// What becomes of the attributes.
    pub(crate) fn attributes(self, attributes: &mut Attributes) {
        if self.is_none() {
            return;
        }
        for (key, value) in attributes {
            if key == CAPABILITY {
                self.capability(value);
            } else if ACLS.contains(&key.as_slice()) {
                self.acl(value);
            }
        }
    }

    /// One that counts for the first namespace's root has no id.
    fn capability(self, value: &mut Vec<u8>) {
        // the revision is the highest byte of the first number, which is little-endian as all
        let root = match (value.get(3).copied(), value.len()) {
            (Some(revision), length) if (revision, length) == REVISION_2 => 0,
            (Some(revision), length) if (revision, length) == REVISION_3 => number(value, REVISION_2.1),
            _ => return,
        };
        let root = self.id(root);
        value.truncate(REVISION_2.1);
        value[3] = REVISION_2.0;
        if root != 0 {
            value[3] = REVISION_3.0;
            value.extend_from_slice(&root.to_le_bytes());
        }
    }

    fn acl(self, value: &mut [u8]) {
        for entry in value
            .get_mut(ACL_HEADER..)
            .unwrap_or_default()
            .chunks_exact_mut(ACL_ENTRY)
        {
            let tag = u16::from_le_bytes([entry[0], entry[1]]);
            if matches!(tag, ACL_USER | ACL_GROUP) {
                let id = self.id(number(entry, 4));
                entry[4..].copy_from_slice(&id.to_le_bytes());
            }
        }
    }
}

/// The little-endian number at `at`, 0 where there is none.
fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

/// Moves the owners of all entries where they are; set-id bits, capabilities and modification times stay.
pub fn shift_tree(tree: &Tree, shift: Shift) -> Result<()> {
    if shift.is_none() {
        return Ok(());
    }
    walk(tree, &mut |entry| {
        let mut attributes = entry.attributes()?;
        let before = attributes.clone();
        shift.attributes(&mut attributes);
        let (dir, name, path, stat) = (entry.dir, entry.name, entry.path, &entry.stat);
        chown(dir, name, path, (shift.id(stat.uid), shift.id(stat.gid)))?;
        if stat.kind != Kind::Symlink {
            // a change of owner takes set-id bits away
            fs::chmodat(dir, name, Mode::from_raw_mode(stat.mode), AtFlags::empty())
                .map_err(|e| Error::errno("chmod", path, e))?;
        }
        // and capabilities, also those that name nobody
        for (key, value) in &attributes {
            if key == CAPABILITY || !before.iter().any(|same| (&same.0, &same.1) == (key, value)) {
                xattr::set(dir, name, key, value, path)?;
            }
        }
        Ok(())
    })
}

pub(crate) fn chown(
    dir: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    path: &Path,
    (uid, gid): (u32, u32),
) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fault::step!(fs::chownat(
        dir,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW
    ))
    .map_err(|e| Error::errno("chown", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Shift = Shift {
        from: 0,
        to: 2_000_000_000,
    };
    const BACK: Shift = Shift {
        from: 2_000_000_000,
        to: 0,
    };

    #[test]
    fn ids_outside_the_range_stay() {
        assert_eq!(THERE.id(7), 2_000_000_007);
        assert_eq!(THERE.id(THERE.id(7)), 2_000_000_007);
        assert_eq!(BACK.id(2_000_065_535), 65_535);
        assert_eq!(BACK.id(2_000_065_536), 2_000_065_536);
        assert_eq!(BACK.id(7), 7);
    }

    #[test]
    fn ids_in_attributes_go_there_and_back() {
        let capability = [&[1, 0, 0, 2][..], &[0x20; 16]].concat();
        let acl = [
            &[2, 0, 0, 0][..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 6, 0, 5, 0, 0, 0],
            &[8, 0, 6, 0, 6, 0, 0, 0],
        ]
        .concat();
        let before = vec![
            (CAPABILITY.to_vec(), capability),
            (ACLS[0].to_vec(), acl),
            (b"user.x".to_vec(), vec![0; 24]),
        ];
        let mut attributes = before.clone();
        THERE.attributes(&mut attributes);
        assert_eq!(attributes[0].1.len(), 24);
        assert_eq!(attributes[0].1[..4], [1, 0, 0, 3]);
        assert_eq!(number(&attributes[0].1, 20), 2_000_000_000);
        assert_eq!(number(&attributes[1].1, 8), u32::MAX);
        assert_eq!(number(&attributes[1].1, 16), 2_000_000_005);
        assert_eq!(number(&attributes[1].1, 24), 2_000_000_006);
        assert_eq!(attributes[2], before[2]);
        BACK.attributes(&mut attributes);
        assert_eq!(attributes, before);
    }
}
