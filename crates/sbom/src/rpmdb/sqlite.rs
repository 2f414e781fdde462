//! The rows of a table in an SQLite database, as far as it takes to list one (sqlite.org, "Database File Format").
//!
//! ```text
//! page 1        100 bytes about the file, then the b-tree of the schema: type, name, table, root page, SQL
//! b-tree page   kind (5: keys and children, 13: rows), count of cells at 3, last child at 8, cells' offsets behind
//! row           size, key, then as much of the record as fits, then the first page with the rest
//! record        size of its head, the types of its values, the values
//! ```
//!
//! Pages that are only in the write-ahead log are taken from there, up to its last commit.

use std::collections::HashMap;

use super::number;

const MAGIC: &[u8] = b"SQLite format 3\0";
const FILE_HEAD: usize = 100;
const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// A tree of more levels than any file can hold is a ring.
const DEEPEST: usize = 20;
/// No header of rpm is larger.
const LARGEST: usize = 256 << 20;

/// A whole database in memory.
pub(crate) struct Database<'a> {
    file: Vec<u8>,
    /// Pages that the log has newer than the file, by their numbers.
    newer: HashMap<usize, &'a [u8]>,
    page_size: usize,
    /// Of a page what is not reserved.
    usable: usize,
}

type Result<T> = std::result::Result<T, String>;

/// How many pages may still be read: trees share none, and no page is in one twice, so all there are at most.
type Left = usize;

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Database<'a> {
    /// Takes the contents of the file and of its write-ahead log, which may be empty.
    pub(crate) fn open(file: Vec<u8>, log: &'a [u8]) -> Result<Self> {
        if !file.starts_with(MAGIC) || file.len() < FILE_HEAD {
            return Err("it is no SQLite database".to_owned());
        }
        let page_size = match number(&file, 16, 2) {
            Some(1) => 65536,
            Some(size) => size as usize,
            None => 0,
        };
        let usable = page_size.saturating_sub(usize::from(file[20]));
        if !page_size.is_power_of_two() || page_size < 512 || usable < 480 {
            return Err(format!("its pages cannot have {page_size} bytes"));
        }
        let newer = committed(log, page_size);
        Ok(Self {
            file,
            newer,
            page_size,
            usable,
        })
    }

    /// The blobs of the table `name`, one a row.
    pub(crate) fn blobs(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        let root = self.root_of(name)?;
        let mut all = Vec::new();
        self.rows(root, 0, &mut self.pages(), &mut |record| {
            let blob = values(record)?.into_iter().find_map(|value| match value {
                Value::Bytes(bytes) => Some(bytes.to_vec()),
                Value::Number(_) => None,
            });
            all.push(blob.ok_or("a row without a header")?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The first page of a table.
    fn root_of(&self, table: &str) -> Result<usize> {
        let mut root = None;
        self.rows(1, 0, &mut self.pages(), &mut |record| {
            if let [
                Value::Bytes(b"table"),
                Value::Bytes(name),
                _,
                Value::Number(page),
                ..,
            ] = &values(record)?[..]
                && *name == table.as_bytes()
            {
                root = Some(*page as usize);
            }
            Ok(())
        })?;
        root.ok_or_else(|| format!("it has no table {table}"))
    }

    /// All pages there are.
    fn pages(&self) -> Left {
        self.file.len() / self.page_size + self.newer.len()
    }

    fn page(&self, page: usize, left: &mut Left) -> Result<&[u8]> {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| format!("page {page} is in it again and again"))?;
        if let Some(page) = self.newer.get(&page) {
            return Ok(page);
        }
        let start = page
            .checked_sub(1)
            .and_then(|page| page.checked_mul(self.page_size));
        start
            .and_then(|start| self.file.get(start..start.checked_add(self.page_size)?))
            .ok_or_else(|| format!("page {page} is missing"))
    }

    /// Hands the record of each row in the tree at `page` on.
    fn rows(
        &self,
        page: usize,
        depth: usize,
        left: &mut Left,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let damaged = || format!("page {page} is damaged");
        if depth == DEEPEST {
            return Err(damaged());
        }
        let bytes = self.page(page, left)?;
        let head = if page == 1 { FILE_HEAD } else { 0 };
        let count = number(bytes, head + 3, 2).ok_or_else(damaged)? as usize;
        let cell = |index: usize, head: usize| -> Option<usize> {
            number(bytes, head + 2 * index, 2).map(|at| at as usize)
        };
        match bytes.get(head) {
            Some(13) => {
                let mut room = bytes.len();
                for index in 0..count {
                    let at = cell(index, head + 8).ok_or_else(damaged)?;
                    each(&self.record(bytes, at, &mut room, left)?)?;
                }
                Ok(())
            }
            Some(5) => {
                for index in 0..count {
                    let at = cell(index, head + 12).ok_or_else(damaged)?;
                    let child = number(bytes, at, 4).ok_or_else(damaged)?;
                    self.rows(child as usize, depth + 1, left, each)?;
                }
                let last = number(bytes, head + 8, 4).ok_or_else(damaged)?;
                self.rows(last as usize, depth + 1, left, each)
            }
            _ => Err(damaged()),
        }
    }

    /// The record of a row, put together from the pages that it overflows to. Rows share no byte of their page either:
    /// `room` is what is left of it.
    fn record(&self, page: &[u8], at: usize, room: &mut usize, left: &mut Left) -> Result<Vec<u8>> {
        let damaged = || "a row is damaged".to_owned();
        let (size, at) = varint(page, at).ok_or_else(damaged)?;
        let (_key, at) = varint(page, at).ok_or_else(damaged)?;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= LARGEST)
            .ok_or_else(damaged)?;
        let local = self.local(size);
        *room = room.checked_sub(local).ok_or_else(damaged)?;
        let mut record = page.get(at..at + local).ok_or_else(damaged)?.to_vec();
        let mut next = (local < size).then(|| number(page, at + local, 4)).flatten();
        while record.len() < size {
            let page = self.page(next.ok_or_else(damaged)? as usize, left)?;
            let part = (size - record.len()).min(self.usable - 4);
            record.extend(page.get(4..4 + part).ok_or_else(damaged)?);
            next = number(page, 0, 4);
        }
        Ok(record)
    }

    /// How much of a record of `size` bytes stands in its page.
    fn local(&self, size: usize) -> usize {
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        if size <= most {
            return size;
        }
        let fit = least + (size - least) % (self.usable - 4);
        if fit <= most { fit } else { least }
    }
}

/// The pages of a write-ahead log that were committed, the last one of each number.
fn committed(log: &[u8], page_size: usize) -> HashMap<usize, &[u8]> {
    let (mut all, mut open) = (HashMap::new(), Vec::new());
    let salts = log.get(16..24);
    let frames = log.get(LOG_HEAD..).unwrap_or_default();
    for frame in frames.chunks_exact(FRAME_HEAD + page_size) {
        let (head, page) = frame.split_at(FRAME_HEAD);
        // what an earlier use of the log has left there
        if salts != Some(&head[8..16]) {
            break;
        }
        open.push((number(head, 0, 4).unwrap_or_default() as usize, page));
        if number(head, 4, 4) != Some(0) {
            all.extend(open.drain(..));
        }
    }
    all
}

/// The values of a record; those that are neither numbers nor bytes count as 0.
fn values(record: &[u8]) -> Result<Vec<Value<'_>>> {
    let parse = || {
        let (head, mut at) = varint(record, 0)?;
        let mut body = usize::try_from(head).ok()?;
        let (head, mut all) = (body, Vec::new());
        while at < head {
            let (kind, next) = varint(record, at)?;
            at = next;
            let size = match kind {
                0 | 8 | 9 => 0,
                1..=4 => kind as usize,
                5 => 6,
                6 | 7 => 8,
                _ => usize::try_from(kind.checked_sub(12)? / 2).ok()?,
            };
            let bytes = record.get(body..body.checked_add(size)?)?;
            body += size;
            all.push(match kind {
                0..=11 => Value::Number(number(bytes, 0, size)?),
                _ => Value::Bytes(bytes),
            });
        }
        Some(all)
    };
    parse().ok_or_else(|| "a record is damaged".to_owned())
}

/// A number of one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for place in 0..8 {
        let byte = *bytes.get(at.checked_add(place)?)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + place + 1));
        }
    }
    let last = *bytes.get(at + 8)?;
    Some((value << 8 | u64::from(last), at + 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9], 0), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8], 0), None);
    }

    /// A database of two pages, the second one the table's, with these bytes at its start.
    fn database(table: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.resize(1024, 0);
        file[16..18].copy_from_slice(&512u16.to_be_bytes());
        let row = b"\x1c\x01\x06\x17\x1d\x1d\x01\x0dtablePackagesPackages\x02";
        file[100] = 13;
        file[103..105].copy_from_slice(&1u16.to_be_bytes());
        file[108..110].copy_from_slice(&400u16.to_be_bytes());
        file[400..400 + row.len()].copy_from_slice(row);
        file[512..512 + table.len()].copy_from_slice(table);
        file
    }

    #[test]
    fn pages_that_lead_to_each_other_are_not_read_for_ever() {
        let read = |table: &[u8]| Database::open(database(table), &[]).unwrap().blobs("Packages");
        // an empty table is none that is damaged
        assert_eq!(read(&[13]), Ok(Vec::new()));
        // fifty children, each of them itself: a tree of a hundred levels would have more pages than there are atoms
        let mut ring = [5, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 2].to_vec();
        ring.extend([200u16.to_be_bytes(); 50].concat());
        ring.resize(200, 0);
        ring.extend(2u32.to_be_bytes());
        assert!(read(&ring).unwrap_err().contains("page 2 is in it again"));
        // rows that are one, and the rest of each is a page that follows itself
        let mut rows = [13, 0, 0, 0, 100, 0, 0, 0].to_vec();
        rows.extend([300u16.to_be_bytes(); 100].concat());
        rows.resize(300, 0);
        rows.extend([0xff, 0xff, 0x7f, 1, 2]);
        rows.resize(500, 2);
        assert!(read(&rows).is_err());
    }

    #[test]
    fn types_that_are_reserved_are_refused() {
        for kind in [10, 11] {
            assert!(values(&[2, kind]).is_err());
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(Database::open(b"no".to_vec(), &[]).is_err());
        let mut file = MAGIC.to_vec();
        file.resize(1024, 0);
        assert!(Database::open(file.clone(), &[]).is_err());
        file[16] = 2;
        let database = Database::open(file, &[]).unwrap();
        assert!(database.blobs("Packages").is_err());
    }
}
