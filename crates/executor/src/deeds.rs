//! What stages ask for that only the machine's root may do: labels and device nodes.
//!
//! Only modules whose [profile](crate::Profile) says so are heard, each for its own kind: they are ours and run no package
//! code. It is done when the stage has ended well and its box is gone, in a mount table of a thread of ours, on paths
//! resolved inside the tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use manifest::Stage;
use store::{NewTree, Store};
use tree::{Deed, Tree};

use crate::attached::with_attached;
use crate::devices::setup::Setup;
use crate::library::ModuleInfo;
use crate::{Error, Result};

/// Where the tree and the mounts are in the box.
const TREE: &str = "/run/osbuild/tree";
const MOUNTS: &str = "/run/osbuild/mounts";

/// What a stage has asked for, and may.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    text: Vec<u8>,
    labels: bool,
    device_nodes: bool,
}

impl Deeds {
    /// What the module has left in `file`.
    pub(crate) fn read(file: &Path, module: &ModuleInfo) -> Self {
        Self {
            text: std::fs::read(file).unwrap_or_default(),
            labels: module.profile().labels(),
            device_nodes: module.profile().device_nodes(),
        }
    }

    fn allow(&self, deed: &Deed) -> bool {
        match deed {
            Deed::Label(_) => self.labels,
            Deed::Device { .. } => self.device_nodes,
        }
    }
}

/// Whether this module is heard.
pub(crate) fn may_ask(module: &ModuleInfo) -> bool {
    module.profile().labels() || module.profile().device_nodes()
}

/// One thing that is asked for.
struct Asked<'a> {
    /// Absolute, in the box.
    path: &'a Path,
    deed: Deed,
}

/// Does what the stage asks for: in its tree and in the file systems that were mounted. What is wrong with it, if
/// anything: then nothing may be committed.
pub(crate) fn carry_out(
    deeds: &Deeds,
    stage: &Stage,
    tree: &NewTree,
    setup: &Setup,
    store: &Store,
) -> Result<Option<String>> {
    if deeds.text.is_empty() {
        return Ok(None);
    }
    let Some(all) = parse(&deeds.text) else {
        return Ok(Some("what it asks the executor to do is damaged".into()));
    };
    if let Some(asked) = all.iter().find(|asked| !deeds.allow(&asked.deed)) {
        return Ok(Some(format!("it may not ask for this: {:?}", asked.deed)));
    }
    let mut places = vec![Place::new(TREE, tree, &all)];
    for (mount, shown) in stage.mounts.iter().zip(&setup.shown) {
        let target = Path::new(MOUNTS).join(mount.target.as_deref().unwrap_or("").trim_matches('/'));
        let below = all.iter().any(|asked| asked.path.starts_with(&target));
        match shown {
            Some(used) => places.push(Place::new(target, &setup.used[*used].tree, &all)),
            None if below => {
                return Ok(Some(format!(
                    "on {}, which the kernel mounts, only the machine's root may set labels: let this stage have the tree \
                     itself, or file systems that our stages made",
                    mount.name
                )));
            }
            None => {}
        }
    }
    // a mount below another has what lies below it
    places.sort_by_key(|place| std::cmp::Reverse(place.root.components().count()));
    let work = |(index, place): (usize, &Place<'_>)| place.carry_out(&places[..index], store);
    match places.iter().enumerate().try_for_each(work) {
        Ok(()) => Ok(None),
        Err(Failed::Refused(message)) => Ok(Some(message)),
        Err(Failed::Broken(error)) => Err(error),
    }
}

/// Pairs of a deed and a path, each ended by a NUL.
fn parse<'a>(text: &'a [u8]) -> Option<Vec<Asked<'a>>> {
    let text = text.strip_suffix(b"\0")?;
    let parts: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
    let asked = |pair: &[&'a [u8]]| match pair {
        [deed, path] => Some(Asked {
            path: Path::new(OsStr::from_bytes(path)),
            deed: serde_json::from_slice(deed).ok()?,
        }),
        _ => None,
    };
    parts.chunks(2).map(asked).collect()
}

/// A tree that the stage saw, and where.
struct Place<'a> {
    root: PathBuf,
    tree: &'a NewTree,
    all: &'a [Asked<'a>],
}

enum Failed {
    Refused(String),
    Broken(Error),
}

impl<'a> Place<'a> {
    fn new(root: impl Into<PathBuf>, tree: &'a NewTree, all: &'a [Asked<'a>]) -> Self {
        Self {
            root: root.into(),
            tree,
            all,
        }
    }

    /// Does what is asked for in this tree, but not in those that are mounted on it.
    fn carry_out(&self, above: &[Place<'_>], store: &Store) -> std::result::Result<(), Failed> {
        let here = |asked: &&Asked<'_>| {
            asked.path.starts_with(&self.root)
                && !above
                    .iter()
                    .any(|other| other.root.starts_with(&self.root) && asked.path.starts_with(&other.root))
        };
        let mut here = self.all.iter().filter(here).peekable();
        if here.peek().is_none() {
            return Ok(());
        }
        let work = |tree: &Tree| {
            here.try_for_each(|asked| {
                let path = asked.path.strip_prefix(&self.root).unwrap_or(asked.path);
                asked.deed.apply(tree, path)
            })
        };
        let done = with_attached(store, self.tree, work).map_err(Failed::Broken)?;
        done.map_err(|error| match error.is_refused() {
            true => Failed::Refused(format!(
                "{error}: only the machine's root may: build as root, or leave this stage out"
            )),
            false => Failed::Refused(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_back() {
        let all = parse(b"{\"label\":[97]}\0/run/osbuild/tree/a\0{\"label\":[98]}\0/x\0").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].path, Path::new("/x"));
        assert_eq!(all[0].deed, Deed::Label(b"a".to_vec()));
        assert!(parse(b"{\"label\":[97]}\0").is_none());
        assert!(parse(b"{\"label\":[97]}\0/x").is_none());
        let labels = Deeds {
            labels: true,
            ..Deeds::default()
        };
        assert!(labels.allow(&all[0].deed));
        assert!(!Deeds::default().allow(&all[0].deed));
    }
}
