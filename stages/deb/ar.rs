//! The outer format of a .deb: an `ar` archive of three members (deb(5), ar(5)).
//!
//! ```text
//! !<arch>\n
//! 60 bytes: name 16, mtime 12, uid 6, gid 6, mode 8 (octal), size 10, "`\n"; text, padded with blanks
//! size bytes, padded with "\n" to an even offset
//! …
//! ```

use std::io::{Read, Seek, SeekFrom};

use module::{Context, Result, ensure};

/// A member of an archive and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Seconds since 1970.
    pub mtime: i64,
    /// From the start of the file.
    pub offset: u64,
    pub size: u64,
}

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The members of the archive `file`, in their order.
pub fn members(file: &mut (impl Read + Seek)) -> Result<Vec<Member>> {
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)
        .ok()
        .filter(|()| magic == MAGIC)
        .context("not a .deb: it does not start like an ar archive")?;
    let mut members = Vec::new();
    let mut offset = MAGIC.len() as u64;
    while offset < end {
        let mut header = [0; HEADER];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut header)
            .context("the archive ends inside a member header")?;
        let member = parse(&header, offset + HEADER as u64)?;
        ensure!(
            member.size <= end - member.offset,
            "the archive ends inside its member `{}`",
            member.name
        );
        offset = member.offset + member.size + member.size % 2;
        members.push(member);
    }
    Ok(members)
}

fn parse(header: &[u8; HEADER], offset: u64) -> Result<Member> {
    ensure!(
        header[58..] == *b"`\n",
        "a member header of the archive is damaged"
    );
    let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end().to_owned();
    let name = text(0..16);
    Ok(Member {
        mtime: text(16..28).parse().unwrap_or(0),
        size: text(48..58)
            .parse()
            .with_context(|| format!("the size of the member `{name}` is not a number"))?,
        // the System V flavour ends names with a slash
        name: name.trim_end_matches('/').to_owned(),
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn header(name: &str, size: &str) -> String {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 7, 0, 0, "100644")
    }

    #[test]
    fn members_are_found_behind_padding() {
        let bytes = format!(
            "!<arch>\n{}abc\n{}xy",
            header("debian-binary", "3"),
            header("data.tar/", "2")
        );
        let found = members(&mut Cursor::new(bytes)).unwrap();
        let told: Vec<_> = found.iter().map(|m| (m.name.as_str(), m.size, m.mtime)).collect();
        assert_eq!(told, [("debian-binary", 3, 7), ("data.tar", 2, 7)]);
        assert_eq!(found[1].offset, 8 + 60 + 4 + 60);
    }

    #[test]
    fn damage_is_refused() {
        for (bytes, says) in [
            ("PK\u{3}\u{4}…".to_owned(), "not a .deb"),
            (format!("!<arch>\n{}abc", header("data.tar", "9")), "`data.tar`"),
            (format!("!<arch>\n{}", header("data.tar", "x")), "not a number"),
            ("!<arch>\nshort".to_owned(), "member header"),
        ] {
            let error = members(&mut Cursor::new(bytes)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
