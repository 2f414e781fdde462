//! Where the installed system gets its updates.

use super::system::file;
use super::{Request, Resolved};
use crate::apt::render;
use crate::blueprint::File;

/// The sources file of the image: nothing where its repositories are ones that only the building machine has.
pub fn file_of(request: &Request<'_>, resolved: &Resolved) -> Option<File> {
    let path = format!("/etc/apt/sources.list.d/{}.sources", request.distro.family.id());
    let some = !resolved.installed.is_empty();
    some.then(|| file(&path, render(&resolved.installed)))
}
