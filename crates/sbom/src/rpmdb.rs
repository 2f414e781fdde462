//! What rpm keeps of installed packages, read without rpm: an SQLite database of headers.
//!
//! The database comes from a stranger's tree, and rpm would read it as root on the host.

pub(crate) mod header;
pub(crate) mod sqlite;

/// Big-endian number of up to eight bytes at `at`.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}
