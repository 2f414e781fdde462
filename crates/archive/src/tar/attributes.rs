//! Extended attributes as pax records, the way GNU tar writes and restores them.
//!
//! `SCHILY.xattr.NAME` holds any attribute; `RHT.security.selinux` a label and `SCHILY.acl.access`, `SCHILY.acl.default` lists as
//! text, for `tar --selinux` and `tar --acls`.

/// Which attributes go into the archive.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    pub acls: bool,
    pub selinux: bool,
    pub xattrs: bool,
}

impl Selection {
    /// All of them.
    pub const ALL: Self = Self {
        acls: true,
        selinux: true,
        xattrs: true,
    };
}

const SELINUX: &[u8] = b"security.selinux";
const ACLS: [(&[u8], &str); 2] = [
    (b"system.posix_acl_access", "SCHILY.acl.access"),
    (b"system.posix_acl_default", "SCHILY.acl.default"),
];

/// The pax records of an entry's attributes, which are sorted by name.
pub(crate) fn records(attributes: &[(Vec<u8>, Vec<u8>)], selection: Selection) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    for (name, value) in attributes {
        let acl = ACLS.iter().find(|(acl, _)| acl == name);
        let wanted = match acl {
            Some(_) => selection.acls,
            None => name != SELINUX || selection.selinux,
        };
        if !wanted {
            continue;
        }
        if let Some(text) = acl.and_then(|_| acl_text(value)) {
            let key = acl.map(|(_, key)| key.as_bytes().to_vec()).unwrap_or_default();
            records.push((key, text.into_bytes()));
        }
        if name == SELINUX {
            let label = value.strip_suffix(b"\0").unwrap_or(value);
            records.push((b"RHT.security.selinux".to_vec(), label.to_vec()));
        }
        // a record's key ends at the first `=`
        if selection.xattrs && !name.contains(&b'=') {
            records.push(([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
        }
    }
    records
}

/// A list as text, from the kernel's form: version 2, then entries of tag, permissions and id (linux/posix_acl_xattr.h).
fn acl_text(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&[2, 0, 0, 0])?;
    let mut lines = Vec::new();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let who = match tag {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let bit = |bit: u16, name: char| if bits & bit == 0 { '-' } else { name };
        lines.push(format!("{who}:{}{}{}\n", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')));
    }
    Some(lines.concat())
}

/// The attributes that lists told as text stand for, by what `record` has of a key; where ids are names none, since they are
/// another system's.
pub(crate) fn of_lists<'r>(
    record: impl Fn(&str) -> Option<&'r [u8]>,
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    ACLS.into_iter()
        .filter_map(move |(name, key)| Some((name.to_vec(), acl_of_text(record(key)?)?)))
}

/// The kernel's form of a list: [`acl_text`]'s reverse. Entries may also stand in one line, and star(1) has the id behind the
/// permissions.
fn acl_of_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    for line in text.split(['\n', ',']) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let mut fields = line.split(':').map(str::trim);
        let (kind, who, bits) = (fields.next()?, fields.next()?, fields.next()?);
        let mut id = || fields.next().unwrap_or(who).parse().ok();
        let (tag, id): (u16, u32) = match (kind, who) {
            ("user", "") => (0x01, u32::MAX),
            ("user", _) => (0x02, id()?),
            ("group", "") => (0x04, u32::MAX),
            ("group", _) => (0x08, id()?),
            ("mask", _) => (0x10, u32::MAX),
            ("other", _) => (0x20, u32::MAX),
            _ => return None,
        };
        let bit = |bit: u16, name: char| if bits.contains(name) { bit } else { 0 };
        entries.push((tag, id, bit(4, 'r') | bit(2, 'w') | bit(1, 'x')));
    }
    // the kernel wants this order
    entries.sort_unstable();
    let mut value = vec![2, 0, 0, 0];
    for (tag, id, bits) in &entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&bits.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    (!entries.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_told_as_text_is_read() {
        let text = "user::rw-\nuser:1234:rw-\ngroup::r--\nmask::rw-\nother::---\n";
        let value = acl_of_text(text.as_bytes()).unwrap();
        assert_eq!(acl_text(&value).unwrap(), text);
        // as star writes it, and GNU tar with `#effective`
        let star = "user::rw-,user:joe:rw-:1234,group::r--,mask::rw-\t#effective:r--,other::---";
        assert_eq!(acl_of_text(star.as_bytes()).unwrap(), value);
        assert_eq!(acl_of_text(b"user:joe:rw-\n"), None);
        assert_eq!(acl_of_text(b""), None);
        let key = |key: &str| (key == "SCHILY.acl.default").then_some(text.as_bytes());
        let all: Vec<_> = of_lists(key).collect();
        assert_eq!(all, [(b"system.posix_acl_default".to_vec(), value)]);
    }

    #[test]
    fn a_list_is_written_as_text_and_as_it_is() {
        let none = u32::MAX;
        let mut value = vec![2, 0, 0, 0];
        for (tag, bits, id) in [
            (1u16, 7u16, none),
            (2, 5, 1000),
            (4, 5, none),
            (0x10, 7, none),
            (0x20, 0, none),
        ] {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&bits.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        let attributes = [(b"system.posix_acl_access".to_vec(), value)];
        let records = records(&attributes, Selection::ALL);
        assert_eq!(records[0].0, b"SCHILY.acl.access");
        assert_eq!(
            String::from_utf8_lossy(&records[0].1),
            "user::rwx\nuser:1000:r-x\ngroup::r-x\nmask::rwx\nother::---\n"
        );
        assert_eq!(records[1].0, b"SCHILY.xattr.system.posix_acl_access");
    }

    #[test]
    fn what_is_not_selected_is_left_out() {
        let attributes = [
            (b"security.selinux".to_vec(), b"label\0".to_vec()),
            (b"user.x".to_vec(), b"1".to_vec()),
        ];
        let names = |selection| -> Vec<String> {
            records(&attributes, selection)
                .into_iter()
                .map(|(key, _)| String::from_utf8(key).unwrap())
                .collect()
        };
        let off = Selection {
            selinux: false,
            ..Selection::ALL
        };
        assert_eq!(names(off), ["SCHILY.xattr.user.x"]);
        let off = Selection {
            xattrs: false,
            ..Selection::ALL
        };
        assert_eq!(names(off), ["RHT.security.selinux"]);
    }
}
