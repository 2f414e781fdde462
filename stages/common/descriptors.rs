//! `/dev/fd` and `/dev/stdin` of the box, which shell scripts use.

use module::{Context, Result};

/// Makes the links where they are not there.
pub fn link_descriptors() -> Result<()> {
    for (target, path) in [("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/0", "/dev/stdin")] {
        match std::os::unix::fs::symlink(target, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {path}"));
            }
            _ => {}
        }
    }
    Ok(())
}
