//! What is different between two trees, in words for people.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

use super::format::{self, Fields};
use super::packed::{Cursor, Packed};
use super::{Entry, order};

/// One path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: PathBuf,
    pub what: What,
}

/// How they differ there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Added,
    Removed,
    /// The aspects that changed: `content`, `mode`, `owner`, `time`, ….
    Changed(Vec<&'static str>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Added => write!(f, "/{path}: added"),
            What::Removed => write!(f, "/{path}: removed"),
            What::Changed(aspects) => write!(f, "/{path}: {} changed", aspects.join(", ")),
        }
    }
}

/// One path at which two trees differ, with what each has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `None`: it was added.
    pub old: Option<Entry>,
    /// `None`: it was removed.
    pub new: Option<Entry>,
    pub what: What,
}

impl From<Difference> for Change {
    fn from(difference: Difference) -> Self {
        let Difference { old, new, what } = difference;
        let path = new.or(old).map(|entry| entry.path).unwrap_or_default();
        Self { path, what }
    }
}

/// The differences between two trees, sorted by path.
#[derive(Debug)]
pub struct Differences<'i> {
    old: Cursor<'i, Fields>,
    new: Cursor<'i, Fields>,
}

impl<'i> Differences<'i> {
    pub(super) fn new(old: &'i Packed<Fields>, new: &'i Packed<Fields>) -> Self {
        Self {
            old: old.cursor(),
            new: new.cursor(),
        }
    }
}

impl Iterator for Differences<'_> {
    type Item = Difference;

    fn next(&mut self) -> Option<Difference> {
        loop {
            let next = match (self.old.is_there(), self.new.is_there()) {
                (false, false) => return None,
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (true, true) => order(self.old.path(), self.new.path()),
            };
            if next.is_eq() && self.old.record() == self.new.record() {
                self.old.advance();
                self.new.advance();
                continue;
            }
            let old = next.is_le().then(|| take(&mut self.old));
            let new = next.is_ge().then(|| take(&mut self.new));
            let what = match (&old, &new) {
                (Some(a), Some(b)) => match aspects(a, b) {
                    list if list.is_empty() => continue,
                    list => What::Changed(list),
                },
                (Some(_), None) => What::Removed,
                (None, _) => What::Added,
            };
            return Some(Difference { old, new, what });
        }
    }
}

/// The entry where the cursor stands, which goes on.
fn take(from: &mut Cursor<'_, Fields>) -> Entry {
    let entry = format::entry(from.path(), from.record());
    from.advance();
    entry
}

/// What differs between two entries of one path, as far as the digest sees it.
fn aspects(a: &Entry, b: &Entry) -> Vec<&'static str> {
    let time = |e: &Entry| if e.timeless { (0, 0) } else { e.mtime };
    let mut list = Vec::new();
    for (differs, name) in [
        (a.kind != b.kind, "kind"),
        (a.digest != b.digest || a.size != b.size, "content"),
        (a.target != b.target, "link"),
        (a.rdev != b.rdev, "device"),
        (a.mode != b.mode, "mode"),
        ((a.uid, a.gid) != (b.uid, b.gid), "owner"),
        (a.xattrs != b.xattrs, "attributes"),
        (a.hard_link != b.hard_link, "hard links"),
        (time(a) != time(b), "time"),
    ] {
        if differs {
            list.push(name);
        }
    }
    list
}
