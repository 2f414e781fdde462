//! A header of rpm: an index of tags, and the store that their values lie in.
//!
//! ```text
//! entries: u32   size of the store: u32
//! entries × { tag: u32, type: u32, offset: u32, count: u32 }
//! store
//! ```
//!
//! All numbers big-endian (rpm's documentation, "RPM v4 file format"); in the database without the magic before it.

use super::number;

const ENTRY: usize = 16;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// A header whose index lies inside its bytes.
pub(crate) struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let parts = || {
            let size = usize::try_from(number(bytes, 0, 4)?).ok()?.checked_mul(ENTRY)?;
            let (index, store) = bytes.get(8..)?.split_at_checked(size)?;
            let length = usize::try_from(number(bytes, 4, 4)?).ok()?;
            Some((index, store.get(..length)?))
        };
        let (index, store) = parts().ok_or("the header of a package is cut off")?;
        Ok(Self { index, store })
    }

    /// The first text of a tag, unless it is empty.
    pub(crate) fn text(&self, tag: u32) -> Option<String> {
        self.texts(tag).into_iter().next().filter(|text| !text.is_empty())
    }

    /// All texts of a tag.
    pub(crate) fn texts(&self, tag: u32) -> Vec<String> {
        let Some((STRING | STRING_ARRAY | I18N_STRING, values, count)) = self.find(tag) else {
            return Vec::new();
        };
        let texts = values.split(|byte| *byte == 0).take(count);
        texts
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }

    /// All numbers of a tag.
    pub(crate) fn numbers(&self, tag: u32) -> Vec<u32> {
        let Some((INT32, values, count)) = self.find(tag) else {
            return Vec::new();
        };
        let (numbers, _) = values.as_chunks();
        numbers
            .iter()
            .take(count)
            .map(|bytes| u32::from_be_bytes(*bytes))
            .collect()
    }

    /// Type, count and what begins with the values of a tag.
    fn find(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let mut entries = self.index.chunks_exact(ENTRY);
        let entry = entries.find(|entry| number(entry, 0, 4) == Some(tag.into()))?;
        let field = |at| number(entry, at, 4).and_then(|value| u32::try_from(value).ok());
        let values = self.store.get(field(8)? as usize..)?;
        Some((field(4)?, values, field(12)? as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_never_outside() {
        let mut bytes = Vec::new();
        let store = b"bash\0a\0b\0\0\0\0\x07";
        for number in [3, store.len() as u32, 1000, 6, 0, 1, 1117, 8, 5, 2, 1003, 4, 9, 1] {
            bytes.extend(u32::to_be_bytes(number));
        }
        bytes.extend(store);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.text(1000).as_deref(), Some("bash"));
        assert_eq!(header.texts(1117), ["a", "b"]);
        assert_eq!(header.numbers(1003), [7]);
        assert_eq!(header.text(1), None);
        for end in 0..bytes.len() {
            assert!(Header::parse(&bytes[..end]).is_err());
        }
    }
}
