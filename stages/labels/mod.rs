//! SELinux labels of a tree's files by a policy's file contexts, as setfiles(8) sets them.

mod file_contexts;

pub use file_contexts::FileContexts;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use module::{Args, Context, Result, Tree};
use tree::Deed;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(include_str!("mod.rs"), include_str!("file_contexts.rs"));

/// Labels what `target` of `root` leads to and all below it, but for what lies at or below `excluded`, as `setfiles -F`
/// does: the whole label is the policy's, whatever was there. Paths are looked up as they are below `root`.
pub fn relabel<O>(
    args: &Args<O>,
    root: &Tree,
    contexts: &FileContexts,
    target: &str,
    excluded: &[PathBuf],
) -> Result<()> {
    let target = Path::new("/").join(target.trim_matches('/'));
    let stat = root
        .stat(&target)?
        .with_context(|| format!("{} is not there", target.display()))?;
    let mut found = vec![(target.clone(), stat.kind)];
    if stat.kind == tree::Kind::Directory {
        tree::walk::walk(&root.subtree(&target)?, &mut |entry| {
            if !entry.path.as_os_str().is_empty() && entry.path != Path::new(".") {
                found.push((target.join(entry.path), entry.stat.kind));
            }
            Ok(())
        })?;
    }
    found.retain(|(path, _)| !excluded.iter().any(|excluded| path.starts_with(excluded)));
    let mut deeds = Vec::new();
    for (path, kind) in found {
        if let Some(label) = contexts.label(path.as_os_str().as_bytes(), kind)? {
            let mut label = label.as_bytes().to_vec();
            // as libselinux stores it
            label.push(0);
            deeds.push((path, Deed::Label(label)));
        }
    }
    println!("{} entries below {} have a label", deeds.len(), target.display());
    args.do_as_root(root, deeds)
}
