//! A tree that is being made, worked on by the executor itself, with the rights of the machine's root.

use store::{NewTree, Store};
use tree::Tree;

use crate::stage::renew;
use crate::{Error, Result, driver};

/// Shows the whole tree to `work`, which runs in a mount table of a thread of ours. Nothing else may have it mounted.
///
/// # Errors
/// The tree cannot be mounted.
pub(crate) fn with_attached<T: Send>(
    store: &Store,
    new: &NewTree,
    work: impl FnOnce(&Tree) -> T + Send,
) -> Result<T> {
    let scratch = store.scratch("attached")?;
    let attach = || {
        sandbox::own_mount_table()?;
        let target = scratch.path().join("tree");
        std::fs::create_dir(&target).map_err(|e| Error::io("make", &target, e))?;
        renew(new)?;
        let host = sandbox::UserNamespace::of_host();
        let layers = driver::layers_of_new(new, &host, false)?;
        sandbox::attach_tree(&scratch.path().join("bench"), layers, &target, &host)?;
        let done = Tree::open(&target).map(|tree| work(&tree));
        sandbox::detach(&target)?;
        Ok(done?)
    };
    std::thread::scope(|scope| match scope.spawn(attach).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
