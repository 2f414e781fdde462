//! [`Entries`]: the entries of an index, one by one.

use super::Entry;
use super::format::{self, ATTRIBUTES, Fields};
use super::packed::{Cursor, Packed, Record};

/// Gives entries in the order of their paths.
#[derive(Debug)]
pub struct Entries<'i> {
    next: Cursor<'i, Fields>,
    /// Flags of which an entry has to have one; 0: any entry.
    wanted: u8,
}

impl<'i> Entries<'i> {
    pub(super) fn all(packed: &'i Packed<Fields>) -> Self {
        Self {
            next: packed.cursor(),
            wanted: 0,
        }
    }

    pub(super) fn with_attributes(packed: &'i Packed<Fields>) -> Self {
        Self {
            next: match packed.flags() & ATTRIBUTES {
                0 => packed.end(),
                _ => packed.cursor(),
            },
            wanted: ATTRIBUTES,
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.next.is_there() {
            let record = self.next.record();
            let is_wanted = self.wanted == 0 || Fields::flags(record) & self.wanted != 0;
            let entry = is_wanted.then(|| format::entry(self.next.path(), record));
            self.next.advance();
            if entry.is_some() {
                return entry;
            }
        }
        None
    }
}
