//! The marks of a layer that is put together here, not by the kernel: what they have it show of the tree that it lies on.

use super::merge::name;
use super::packed::{Packed, Record, is_inside};
use super::scan::{Mark, Markers};
use crate::Kind;

/// Finds the marks of one directory after the other, each before what it holds.
pub(super) struct Marking<'p, R> {
    /// The tree that the layer lies on.
    below: &'p Packed<R>,
    /// The directory that was asked for last and those that it lies in, each with the one below that it shows too.
    open: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl<'p, R: Record> Marking<'p, R> {
    pub(super) fn upon(below: &'p Packed<R>) -> Self {
        Self {
            below,
            open: Vec::new(),
        }
    }

    /// The mark of the directory `path` that is to show the directory `over` of the tree below too, or none of it.
    pub(super) fn of_directory(&mut self, path: &[u8], over: Option<&[u8]>) -> Mark {
        while self.open.last().is_some_and(|(dir, _)| !is_inside(path, dir)) {
            self.open.pop();
        }
        let parent = self.open.last();
        // a root always lies on the root
        let parent_over = parent.and_then(|(_, over)| over.as_deref());
        let unmarked = match parent {
            None => Some(Vec::new()),
            Some(_) => parent_over.map(|over| join(over, name(path))),
        };
        let mark = match over {
            Some(over) if unmarked.as_deref() == Some(over) => Mark::None,
            Some(over) if parent_over.is_some_and(|dir| join(dir, name(over)) == over) => {
                Mark::Redirect(name(over).to_vec())
            }
            Some(over) => Mark::Redirect([b"/", over].concat()),
            None if unmarked.is_some_and(|dir| names(self.below, &dir).next().is_some()) => Mark::Opaque,
            None => Mark::None,
        };
        self.open.push((path.to_vec(), over.map(<[u8]>::to_vec)));
        mark
    }
}

/// The attribute by which a directory has its mark, if there is one.
pub(super) fn attribute(mark: Mark, markers: Markers) -> Option<(Vec<u8>, Vec<u8>)> {
    let named = |name: &[u8]| [markers.prefix(), name].concat();
    match mark {
        Mark::Opaque => Some((named(b"opaque"), b"y".to_vec())),
        Mark::Redirect(to) => Some((named(b"redirect"), to)),
        Mark::None | Mark::Whiteout => None,
    }
}

/// The names in the directory `over` of the tree `below` that are none in the directory `path` of `tree`: in order.
pub(super) fn hidden<A: Record, B: Record>(
    (tree, path): (&Packed<A>, &[u8]),
    (below, over): (&Packed<B>, &[u8]),
) -> Vec<Vec<u8>> {
    let mut there = names(tree, path).peekable();
    names(below, over)
        .filter(|name| {
            while there.next_if(|other| other < name).is_some() {}
            there.peek() != Some(name)
        })
        .collect()
}

/// The names in a directory, in order; none where there is no directory.
fn names<'p, R: Record>(tree: &'p Packed<R>, dir: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<'p, R> {
    let dir = dir.to_vec();
    let mut next = tree.find(&dir);
    if let Some(first) = &mut next {
        first.advance();
    }
    std::iter::from_fn(move || {
        let next = next.as_mut()?;
        if !next.is_there() || !is_inside(next.path(), &dir) {
            return None;
        }
        let path = next.path().to_vec();
        match next.kind() {
            Kind::Directory => next.go_behind(&path),
            _ => next.advance(),
        }
        Some(name(&path).to_vec())
    })
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        b"" => name.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}
