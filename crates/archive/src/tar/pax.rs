//! Records of pax headers: `LENGTH KEY=VALUE\n`, the length counting itself.

use crate::{Error, Result};

/// One record.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
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

/// A key and its value.
pub(super) type Record<'a> = (&'a [u8], &'a [u8]);

/// The records of a header's content; values may be any bytes.
pub(super) fn records(mut bytes: &[u8]) -> Result<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let Some((record, rest)) = first(bytes) else {
            return Error::unsuitable("the archive is damaged: a pax header has a malformed record");
        };
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

fn first(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(((&record[..equals], &record[equals + 1..]), &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"a", b"b"), b"6 a=b\n");
        for size in [1, 3, 4, 90, 91, 92, 93, 94, 95, 989, 990, 991, 992, 993] {
            let value = vec![b'\n'; size];
            let bytes = [record(b"key", &value), record(b"b", b"")].concat();
            assert_eq!(records(&bytes).unwrap(), [(&b"key"[..], &value[..]), (b"b", b"")]);
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in ["x", "5 a=b\n", "99 a=b\n", "6 a-b\n", "0 a=b\n", "-6 a=b\n"] {
            assert!(records(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
