//! The few GVariant types that OSTree objects are made of, serialised.
//!
//! A [`Value`] is bytes with what a container needs to know of them. The rules are those of the GVariant specification:
//! members are aligned; the end of each member of variable size (but the last of a tuple) is noted in a framing offset
//! behind the data, in offsets just wide enough for the container.

/// A serialised value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    bytes: Vec<u8>,
    /// 1, 2, 4 or 8.
    alignment: usize,
    /// Whether all values of the type have one size.
    fixed: bool,
}

impl Value {
    /// `y`
    pub fn byte(value: u8) -> Self {
        Self::fixed(&[value])
    }

    /// `b`
    pub fn boolean(value: bool) -> Self {
        Self::byte(value.into())
    }

    /// `u`, its bytes as given: OSTree stores numbers big-endian whatever the machine.
    pub fn u32_be(value: u32) -> Self {
        Self::fixed(&value.to_be_bytes())
    }

    /// `t`, big-endian.
    pub fn u64_be(value: u64) -> Self {
        Self::fixed(&value.to_be_bytes())
    }

    fn fixed(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            alignment: bytes.len(),
            fixed: true,
        }
    }

    /// `s`; a NUL in it would end it early and is left out.
    pub fn string(text: &str) -> Self {
        let mut bytes: Vec<u8> = text.bytes().filter(|b| *b != 0).collect();
        bytes.push(0);
        Self::variable(bytes, 1)
    }

    /// `ay`
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::variable(bytes.to_vec(), 1)
    }

    /// `v`: `value` of the type `signature`.
    pub fn variant(value: &Self, signature: &str) -> Self {
        let mut bytes = value.bytes.clone();
        bytes.push(0);
        bytes.extend_from_slice(signature.as_bytes());
        Self::variable(bytes, 8)
    }

    /// A tuple or a dictionary entry. At least one member must be of variable size, as in every type of OSTree's.
    pub fn tuple(members: &[Self]) -> Self {
        let alignment = members.iter().map(|m| m.alignment).max().unwrap_or(1);
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for (at, member) in members.iter().enumerate() {
            append(&mut bytes, member);
            if !member.fixed && at + 1 < members.len() {
                ends.push(bytes.len());
            }
        }
        ends.reverse();
        frame(&mut bytes, &ends);
        Self::variable(bytes, alignment)
    }

    /// An array of elements of one type of variable size, whose alignment is `alignment`.
    pub fn array(elements: &[Self], alignment: usize) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(elements.len());
        for element in elements {
            append(&mut bytes, element);
            ends.push(bytes.len());
        }
        frame(&mut bytes, &ends);
        Self::variable(bytes, alignment)
    }

    fn variable(bytes: Vec<u8>, alignment: usize) -> Self {
        Self {
            bytes,
            alignment,
            fixed: false,
        }
    }

    /// The serialised bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn append(bytes: &mut Vec<u8>, value: &Value) {
    bytes.resize(bytes.len().next_multiple_of(value.alignment), 0);
    bytes.extend_from_slice(&value.bytes);
}

/// Appends the framing offsets, each as wide as the size of the whole container needs it.
fn frame(bytes: &mut Vec<u8>, ends: &[usize]) {
    let fits = |width: usize| {
        let size = bytes.len() as u64 + (ends.len() * width) as u64;
        width == 8 || size < 1 << (8 * width)
    };
    let width = [1, 2, 4, 8].into_iter().find(|width| fits(*width)).unwrap_or(8);
    for end in ends {
        bytes.extend_from_slice(&(*end as u64).to_le_bytes()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_come_out() {
        // "GVariant Specification", examples of chapter 2
        let array = Value::array(&["i", "can", "has", "strings?"].map(Value::string), 1);
        assert_eq!(
            array.into_bytes(),
            b"i\0can\0has\0strings?\0\x02\x06\x0a\x13".to_vec()
        );
        let tuple = Value::tuple(&[Value::string("foo"), Value::fixed(&(-1i32).to_le_bytes())]);
        assert_eq!(tuple.into_bytes(), b"foo\0\xff\xff\xff\xff\x04".to_vec());
        let entry = Value::tuple(&[
            Value::string("a key"),
            Value::variant(&Value::fixed(&514u32.to_le_bytes()), "u"),
        ]);
        assert_eq!(entry.into_bytes(), b"a key\0\0\0\x02\x02\0\0\0u\x06".to_vec());
    }

    #[test]
    fn offsets_widen_with_the_container() {
        let long = Value::array(&[Value::bytes(&[7; 254])], 1).into_bytes();
        assert_eq!((long.len(), long[254]), (255, 254));
        let longer = Value::array(&[Value::bytes(&[7; 255])], 1).into_bytes();
        assert_eq!((longer.len(), &longer[255..]), (257, &[255, 0][..]));
    }
}
