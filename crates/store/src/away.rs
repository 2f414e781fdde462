//! Objects out of the way.

use std::path::Path;

use rustix::io::Errno;

use crate::scratch::remove;

/// Moves an object to `target`. On an overlay, which moves no directory that it has from below, it is removed where it is.
pub(crate) fn take_away(object: &Path, target: &Path) -> std::io::Result<()> {
    match fault::step!(std::fs::rename(object, target)) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::XDEV) => {
            // whoever comes by it meanwhile finds none
            match std::fs::remove_file(object.join("info")) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            remove(object).map_err(std::io::Error::other)
        }
        other => other,
    }
}
