//! What is different between two trees, in words for people.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

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

pub(super) fn diff(old: &[Entry], new: &[Entry]) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let next = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(&a.path, &b.path),
        };
        let a = if next.is_le() { old.next() } else { None };
        let b = if next.is_ge() { new.next() } else { None };
        let (path, what) = match (a, b) {
            (Some(a), Some(b)) => match aspects(a, b) {
                list if list.is_empty() => continue,
                list => (&b.path, What::Changed(list)),
            },
            (Some(a), None) => (&a.path, What::Removed),
            (None, Some(b)) => (&b.path, What::Added),
            (None, None) => break,
        };
        changes.push(Change {
            path: path.clone(),
            what,
        });
    }
    changes
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
