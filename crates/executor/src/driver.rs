//! Trees in a store on a file system that carries no layers: on an overlay, NFS and the like.
//!
//! Nothing there can be the upper side of an overlay, and as a rule nothing can be id-mapped either. Each new tree is a
//! copy then, whose files belong to the box's users for as long as boxes have it; what a box only reads is a copy too, made
//! once for the run. Owners are given back when a tree is kept: objects, digests and images are those of any other store.
//!
//! Which of both it is nobody says but the kernel: an overlay is mounted and written to.

use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use sandbox::{Idmap, Layers, Mount, Source, UserNamespace};
use store::{Driver, NewTree, Store};
use tree::copy::{Options, copy_tree};
use tree::{Shift, Tree};

use crate::{Error, Result};

/// How many users a box has.
const USERS: u32 = 65_536;

/// Settles how the trees of a run are made, before the first one is.
///
/// # Errors
/// The file system keeps no owners: it can have no tree at all.
pub(crate) fn settle(store: &Store, users: &UserNamespace) -> Result<()> {
    let find = || match carries_layers(store, users)? {
        true => Ok(Driver::Layers),
        false => keeps_owners(store, users).map(|()| Driver::Copies {
            root_id: users.root_id(),
        }),
    };
    store.settle_driver(find).map(drop)
}

/// Mounts an overlay as boxes have it, and writes to it.
fn carries_layers(store: &Store, users: &UserNamespace) -> Result<bool> {
    let scratch = store.scratch("probe")?;
    let dir = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(&path)
            .map(|()| path.clone())
            .map_err(|e| Error::io("make", path, e))
    };
    let (lower, target) = (dir("lower")?, dir("target")?);
    dir("changes/upper")?;
    dir("changes/work")?;
    let layers = Layers {
        lower: vec![lower],
        changes: Some(dir("changes")?),
        ..Layers::default()
    };
    let bench = scratch.path().join("bench");
    let attempt = || -> Result<bool> {
        sandbox::own_mount_table()?;
        if sandbox::attach_tree(&bench, layers, &target, users).is_err() {
            return Ok(false);
        }
        // one that cannot be written comes up all the same, read-only
        let written = sandbox::as_root(users, || std::fs::write(target.join("file"), "")).is_ok();
        sandbox::detach(&target)?;
        Ok(written)
    };
    std::thread::scope(|scope| match scope.spawn(attempt).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn keeps_owners(store: &Store, users: &UserNamespace) -> Result<()> {
    let scratch = store.scratch("probe")?;
    let given = lchown(scratch.path(), Some(users.root_id()), Some(users.root_id()));
    given.map_err(|cause| Error::StorePlace {
        path: store.path().to_owned(),
        cause,
    })
}

/// A tree that is being made, for a box or a host service with these users.
pub(crate) fn layers_of_new(tree: &NewTree, users: &UserNamespace, read_only: bool) -> Result<Layers> {
    tree.own(users.root_id())?;
    Ok(match (tree.is_whole(), read_only) {
        (true, true) => Layers {
            lower: vec![tree.upper()],
            changes: None,
            plain: true,
        },
        (plain, read_only) => Layers {
            lower: tree.lower_layers(),
            changes: (!read_only).then(|| tree.path().to_owned()),
            plain,
        },
    })
}

/// The same for layers of finished trees, or with changes to anything: left as they are where they can be mounted.
pub(crate) fn settle_layers(layers: &mut Layers, store: &Store, users: &UserNamespace) -> Result<()> {
    if store.driver() == Driver::Layers || layers.plain || layers.lower.is_empty() {
        return Ok(());
    }
    let root_id = users.root_id();
    if let Some(changes) = &layers.changes {
        store.copy_layers(&layers.lower, &changes.join("upper"), root_id)?;
        layers.lower.clear();
    } else if root_id != 0 {
        layers.lower = vec![store.shifted(&layers.lower, root_id)?];
    }
    layers.plain = layers.changes.is_some() || layers.lower.len() == 1;
    Ok(())
}

/// Has a box with these users find what belongs to it, in trees and in what it is lent from the store. `scratch` is a
/// directory of the stage.
pub(crate) fn settle_mounts(
    mounts: &mut [Mount],
    store: &Store,
    users: &UserNamespace,
    scratch: &Path,
) -> Result<()> {
    if store.driver() == Driver::Layers {
        return Ok(());
    }
    for (index, mount) in mounts.iter_mut().enumerate() {
        match mount {
            Mount::Tree { layers, .. } | Mount::TreeParts { layers, .. } => {
                settle_layers(layers, store, users)?;
            }
            Mount::Bind {
                source,
                writable,
                idmap: idmap @ Idmap::Required,
                ..
            } if users.root_id() != 0 && lies_in(store, source)? => {
                let copy = scratch.join(format!("shifted/{index}"));
                give(source, *writable, &copy, users.root_id())?;
                *idmap = Idmap::None;
            }
            _ => {}
        }
    }
    Ok(())
}

fn path_of(source: &Source) -> PathBuf {
    match source.path.as_os_str().is_empty() {
        // joining nothing would add a slash
        true => source.root.clone(),
        false => source.root.join(&source.path),
    }
}

/// Whether it is the store's own, and not something that a host service has mounted there.
fn lies_in(store: &Store, source: &Source) -> Result<bool> {
    let path = path_of(source);
    if !path.starts_with(store.path()) {
        return Ok(false);
    }
    let mount = |path: &Path| {
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID)
            .map(|there| there.stx_mnt_id)
            .map_err(|e| Error::io("look at", path, e))
    };
    Ok(mount(&path)? == mount(store.path())?)
}

/// Gives a directory or file to the box: itself, with what lies directly in it, or, where that may be others' too, a `copy`.
fn give(source: &mut Source, writable: bool, copy: &Path, root_id: u32) -> Result<()> {
    let path = path_of(source);
    let fail = |e: std::io::Error| Error::io("give to the box", &path, e);
    let there = std::fs::symlink_metadata(&path).map_err(fail)?;
    let is_given = |metadata: &std::fs::Metadata| (root_id..root_id + USERS).contains(&metadata.uid());
    if is_given(&there) {
        return Ok(());
    }
    if there.is_dir() && !writable {
        std::fs::create_dir_all(copy).map_err(|e| Error::io("make", copy, e))?;
        let options = Options {
            shift: Shift::into(root_id),
            ..Options::default()
        };
        copy_tree(&Tree::open(&path)?, &Tree::open(copy)?, &options)?;
        *source = Source::at(copy);
        return Ok(());
    }
    lchown(&path, Some(root_id), Some(root_id)).map_err(fail)?;
    if there.is_dir() {
        for entry in std::fs::read_dir(&path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let metadata = entry.metadata().map_err(fail)?;
            if !is_given(&metadata) && metadata.dev() == there.dev() {
                lchown(entry.path(), Some(root_id), Some(root_id)).map_err(fail)?;
            }
        }
    }
    Ok(())
}
