//! [`Packed`]: paths in their order, each with a record, in few bytes of memory.
//!
//! ```text
//! entry:  shared  length path-rest  record     bytes taken over from the path before, and what follows; then the record
//! ```
//!
//! It is gone through with a [`Cursor`], from the beginning or from any path: every [`STEP`] entries or so the whole path is
//! kept beside the bytes. What stays from one tree to the next is copied in one piece ([`Packer::push_span`]). A tree of 300,000 files takes 20 MB so; as a list of values each with its path it took ten times that.

use std::cmp::Ordering;
use std::io::Result;
use std::marker::PhantomData;

use super::coding::{Rest, damaged, put_number, put_text};
use super::order;
use crate::Kind;

/// So many entries lie between two at which one can begin to read; no more than twice as many.
const STEP: usize = 64;

/// What an entry has beside its path: bytes that say themselves where they end.
pub(super) trait Record {
    /// Takes a record off the beginning that comes from outside.
    ///
    /// # Errors
    /// It is cut short, or not as records are written.
    fn check(rest: &mut Rest<'_>) -> Result<()>;

    /// Takes off one that was looked at before.
    ///
    /// # Errors
    /// It is cut short.
    fn skip(rest: &mut Rest<'_>) -> Result<()>;

    /// What the entry is.
    fn kind(record: &[u8]) -> Kind;

    /// What [`Packed::flags`] has the sum of.
    fn flags(record: &[u8]) -> u8;
}

/// See the top of this file; `R` says where records end.
#[derive(Debug, Clone)]
pub(super) struct Packed<R> {
    bytes: Vec<u8>,
    count: usize,
    /// In order, the first of the first entry.
    stops: Vec<Stop>,
    /// All flags of all records, and perhaps some of entries that are no more.
    flags: u8,
    records: PhantomData<R>,
}

impl<R> PartialEq for Packed<R> {
    fn eq(&self, other: &Self) -> bool {
        // the rest is there to find things in them
        (self.count, &self.bytes) == (other.count, &other.bytes)
    }
}

impl<R> Eq for Packed<R> {}

/// An entry at which one can begin to read.
#[derive(Debug, Clone)]
struct Stop {
    /// Its whole path.
    path: Box<[u8]>,
    /// How many entries are before it.
    number: usize,
    /// Where its record begins.
    record: usize,
}

impl<R> Default for Packed<R> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            count: 0,
            stops: Vec::new(),
            flags: 0,
            records: PhantomData,
        }
    }
}

impl<R: Record> Packed<R> {
    /// Takes the bytes of `count` entries as they are.
    ///
    /// # Errors
    /// They are not in order, or not as a [`Packer`] writes them; records are only looked at for their ends.
    pub(super) fn from_bytes(bytes: Vec<u8>, count: usize) -> Result<Self> {
        let other_way = || damaged("an index that is written in another way");
        let mut packed = Self::default();
        let mut rest = Rest(&bytes);
        let mut path: Vec<u8> = Vec::new();
        for number in 0..count {
            let shared = usize::try_from(rest.number()?).unwrap_or(usize::MAX);
            let after = rest.text()?;
            let before = path
                .get(shared..)
                .ok_or_else(|| damaged("a path without a beginning in an index"))?;
            // all that is shared is taken over, and of what follows the first byte tells the order
            if number > 0 && follows(before.first(), after.first()) != Ordering::Less {
                return Err(other_way());
            }
            path.truncate(shared);
            path.extend_from_slice(after);
            let record = rest.0;
            let at = bytes.len() - record.len();
            R::check(&mut rest)?;
            packed.flags |= R::flags(record);
            if number.is_multiple_of(STEP) {
                packed.stops.push(Stop {
                    path: path.as_slice().into(),
                    number,
                    record: at,
                });
            }
        }
        if !rest.0.is_empty() {
            return Err(damaged("an index with something behind it"));
        }
        packed.count = count;
        packed.bytes = bytes;
        Ok(packed)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The bytes of all entries.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What flags there may be among the records: no others are.
    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let stops = self.stops.iter().map(|stop| stop.path.len() + size_of::<Stop>());
        self.bytes.capacity() + stops.sum::<usize>()
    }

    /// Writes over bytes inside a record, which ends where it ended before; nothing where there are none.
    pub(super) fn patch(&mut self, at: usize, with: &[u8]) {
        if let Some(place) = at
            .checked_add(with.len())
            .and_then(|end| self.bytes.get_mut(at..end))
        {
            place.copy_from_slice(with);
        }
    }

    /// A cursor that stands on the first entry.
    pub(super) fn cursor(&self) -> Cursor<'_, R> {
        self.at_stop(0)
    }

    /// A cursor that stands behind the last entry.
    pub(super) fn end(&self) -> Cursor<'_, R> {
        self.at_stop(self.stops.len())
    }

    /// A cursor that stands on the entry `path`; `None`: there is none.
    pub(super) fn find(&self, path: &[u8]) -> Option<Cursor<'_, R>> {
        let stop = self
            .stops
            .partition_point(|stop| order(&stop.path, path).is_le())
            .checked_sub(1)?;
        let mut cursor = self.at_stop(stop);
        while cursor.is_there() {
            match order(cursor.path(), path) {
                Ordering::Less => cursor.advance(),
                Ordering::Equal => return Some(cursor),
                Ordering::Greater => return None,
            }
        }
        None
    }

    fn at_stop(&self, number: usize) -> Cursor<'_, R> {
        let mut cursor = Cursor {
            packed: self,
            rest: Rest(&[]),
            path: Vec::new(),
            record: &[],
            number: self.count,
        };
        if let Some(stop) = self.stops.get(number) {
            cursor.path.extend_from_slice(&stop.path);
            cursor.number = stop.number;
            cursor.read_record(Rest(&self.bytes[stop.record..]));
        }
        cursor
    }

    /// Calls `each` with the place of each record among the bytes; cheaper than a cursor where paths are no matter.
    pub(super) fn each_record(&self, each: &mut dyn FnMut(usize, &[u8])) {
        let mut rest = Rest(&self.bytes);
        while !rest.0.is_empty() {
            let skipped = rest.number().and_then(|_| rest.text());
            let record = rest.0;
            // what was taken in as entries is made of them
            if skipped.is_err() || R::skip(&mut rest).is_err() {
                return;
            }
            each(
                self.bytes.len() - record.len(),
                &record[..record.len() - rest.0.len()],
            );
        }
    }
}

/// The order of two paths by the first bytes in which they differ, as [`order`] has it.
fn follows(a: Option<&u8>, b: Option<&u8>) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.map(rank).cmp(&b.map(rank))
}

/// Stands on an entry, or behind the last one.
#[derive(Debug)]
pub(super) struct Cursor<'p, R> {
    packed: &'p Packed<R>,
    /// What follows the entry.
    rest: Rest<'p>,
    path: Vec<u8>,
    record: &'p [u8],
    number: usize,
}

impl<'p, R: Record> Cursor<'p, R> {
    /// False behind the last entry.
    pub(super) fn is_there(&self) -> bool {
        self.number < self.packed.count
    }

    /// The entry's path.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The entry's record.
    pub(super) fn record(&self) -> &'p [u8] {
        self.record
    }

    /// What the entry is.
    pub(super) fn kind(&self) -> Kind {
        R::kind(self.record)
    }

    /// How many entries are before it.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Goes on to the next entry.
    pub(super) fn advance(&mut self) {
        self.number += 1;
        if !self.is_there() {
            return;
        }
        let mut rest = self.rest;
        let read = rest.number().and_then(|shared| Ok((shared, rest.text()?)));
        let Ok((shared, after)) = read else {
            self.number = self.packed.count;
            return;
        };
        self.path.truncate(shared as usize);
        self.path.extend_from_slice(after);
        self.read_record(rest);
    }

    /// Goes on to the first entry that does not lie in the one where it stands, and says what flags it passed over.
    pub(super) fn skip_tree(&mut self) -> u8 {
        let top = self.path.clone();
        let mut flags = 0;
        loop {
            flags |= R::flags(self.record);
            self.advance();
            if !self.is_there() || !is_inside(&self.path, &top) {
                return flags;
            }
        }
    }

    /// Goes on to the last of the entries that lie in the directory `dir`, if one follows: between it and where the cursor
    /// stands is nothing else.
    fn go_to_last_inside(&mut self, dir: &[u8]) {
        let stops = &self.packed.stops;
        let past = stops.partition_point(|stop| stop.number <= self.number || is_inside(&stop.path, dir));
        if let Some(last) = past.checked_sub(1)
            && stops[last].number > self.number
        {
            *self = self.packed.at_stop(last);
        }
        let mut here = self.path.len();
        loop {
            let mut next = self.rest;
            let read = next
                .number()
                .and_then(|shared| Ok((shared as usize, next.text()?)));
            let Ok((shared, after)) = read else { return };
            // the path before lies in the directory: this one does if it has that much of it
            let inside = match dir.len() {
                0 => true,
                length => {
                    shared > length || (shared == length && here == length && after.first() == Some(&b'/'))
                }
            };
            if !inside || self.number + 1 >= self.packed.count {
                return;
            }
            self.path.truncate(shared);
            self.path.extend_from_slice(after);
            here = self.path.len();
            self.number += 1;
            self.read_record(next);
        }
    }

    /// Goes on behind the last of the entries that lie in the directory `dir`, or are the one where the cursor stands.
    pub(super) fn go_behind(&mut self, dir: &[u8]) {
        self.go_to_last_inside(dir);
        self.advance();
    }

    fn read_record(&mut self, mut rest: Rest<'p>) {
        let start = rest.0;
        if R::skip(&mut rest).is_err() {
            self.number = self.packed.count;
            return;
        }
        self.record = &start[..start.len() - rest.0.len()];
        self.rest = rest;
    }
}

/// Whether `path` lies below the directory `dir`, at any depth.
pub(super) fn is_inside(path: &[u8], dir: &[u8]) -> bool {
    match path.strip_prefix(dir) {
        Some(rest) if dir.is_empty() => !rest.is_empty(),
        Some(rest) => rest.first() == Some(&b'/'),
        None => false,
    }
}

/// Makes a [`Packed`] of entries that are given in order.
#[derive(Debug)]
pub(super) struct Packer<R> {
    packed: Packed<R>,
    last: Vec<u8>,
}

impl<R: Record> Packer<R> {
    /// One with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let packed = Packed {
            bytes: Vec::with_capacity(bytes),
            ..Packed::default()
        };
        Self {
            packed,
            last: Vec::new(),
        }
    }

    /// Adds the entry `path`, whose record `put` appends, and returns where that begins among the bytes.
    pub(super) fn push_with(&mut self, path: &[u8], put: impl FnOnce(&mut Vec<u8>)) -> usize {
        let packed = &mut self.packed;
        let shared = path.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        put_number(&mut packed.bytes, shared as u64);
        put_text(&mut packed.bytes, &path[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
        let at = packed.bytes.len();
        if packed
            .stops
            .last()
            .is_none_or(|stop| packed.count >= stop.number + STEP)
        {
            packed.stops.push(Stop {
                path: path.into(),
                number: packed.count,
                record: at,
            });
        }
        put(&mut packed.bytes);
        packed.flags |= R::flags(&packed.bytes[at..]);
        packed.count += 1;
        at
    }

    /// [`push_with`](Self::push_with) of a record that is at hand.
    pub(super) fn push(&mut self, path: &[u8], record: &[u8]) {
        self.push_with(path, |out| out.extend_from_slice(record));
    }

    /// Adds the entry where `from` stands and what follows it inside the directory `dir`, as they are, and leaves `from`
    /// behind them. Nothing of them is looked at.
    pub(super) fn push_span(&mut self, from: &mut Cursor<'_, R>, dir: &[u8]) {
        self.push(from.path(), from.record());
        let packed = &mut self.packed;
        let (first, source) = (from.number, from.packed);
        let start = source.bytes.len() - from.rest.0.len();
        from.go_to_last_inside(dir);
        let end = source.bytes.len() - from.rest.0.len();
        let added = packed.bytes.len();
        packed.bytes.extend_from_slice(&source.bytes[start..end]);
        let begin = source.stops.partition_point(|stop| stop.number <= first);
        for stop in source.stops[begin..]
            .iter()
            .take_while(|stop| stop.number <= from.number)
        {
            packed.stops.push(Stop {
                path: stop.path.clone(),
                number: stop.number - first + packed.count - 1,
                record: stop.record - start + added,
            });
        }
        packed.count += from.number - first;
        packed.flags |= source.flags;
        self.last.clone_from(&from.path);
        from.advance();
    }

    /// How many entries were added.
    pub(super) fn len(&self) -> usize {
        self.packed.count
    }

    pub(super) fn finish(self) -> Packed<R> {
        self.packed
    }
}
