//! What the host and the guest say to each other: messages of a kind and some bytes.
//!
//! ```text
//! kind (1 byte)   length (4 bytes, little-endian)   the bytes
//! ```

use std::io::{self, Read, Write};

/// No message is longer. Output comes in pieces, a plan is some kilobytes.
const LONGEST: u32 = 256 << 20;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of the guest: it is there.
    Ready,
    /// Of the host: something to do.
    Request,
    /// Of the guest: what was printed meanwhile.
    Output,
    /// Of the guest: what came of it.
    Answer,
}

impl Kind {
    const ALL: [(Self, u8); 4] = [
        (Self::Ready, b'r'),
        (Self::Request, b'q'),
        (Self::Output, b'o'),
        (Self::Answer, b'a'),
    ];
}

/// Writes a message.
///
/// # Errors
/// It cannot be written, or is too long.
pub fn send(to: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    let letter = Kind::ALL
        .iter()
        .find(|(one, _)| *one == kind)
        .map_or(0, |(_, letter)| *letter);
    // in one piece: whoever reads is woken once
    let mut whole = Vec::with_capacity(bytes.len() + 5);
    whole.push(letter);
    whole.extend(length.to_le_bytes());
    whole.extend(bytes);
    to.write_all(&whole)?;
    to.flush()
}

/// Reads a message; `None` at the end.
///
/// # Errors
/// It cannot be read, ends in the middle, or is none.
pub fn receive(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0u8; 5];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let [letter, length @ ..] = head;
    let kind = Kind::ALL
        .iter()
        .find(|(_, one)| *one == letter)
        .map(|(kind, _)| *kind);
    let length = Some(u32::from_le_bytes(length)).filter(|length| *length <= LONGEST);
    let (Some(kind), Some(length)) = (kind, length) else {
        return Err(io::Error::other("what came is no message"));
    };
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let mut stream = Vec::new();
        send(&mut stream, Kind::Ready, b"").unwrap();
        send(&mut stream, Kind::Output, b"text\n").unwrap();
        let mut from = &stream[..];
        assert_eq!(receive(&mut from).unwrap(), Some((Kind::Ready, Vec::new())));
        assert_eq!(
            receive(&mut from).unwrap(),
            Some((Kind::Output, b"text\n".to_vec()))
        );
        assert_eq!(receive(&mut from).unwrap(), None);
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(receive(&mut &b"x\0\0\0\0"[..]).is_err());
        assert!(receive(&mut &b"o\xff\xff\xff\xff"[..]).is_err());
        assert!(receive(&mut &b"o\x02\0\0\0a"[..]).is_err());
    }
}
