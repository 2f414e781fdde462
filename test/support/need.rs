//! What a promise needs of the machine. Where that is missing it is skipped, and says so.

use std::path::Path;

/// Whether we are root, as those who build images are; if not, says that `what` is skipped.
pub fn root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped, as it needs root: {what}");
    }
    root
}

/// Whether all these tools are there; if not, says that `what` is skipped.
pub fn tools(names: &[&str], what: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = |name: &str| path.split(':').any(|dir| Path::new(dir).join(name).exists());
    let missing: Vec<&str> = names.iter().copied().filter(|name| !found(name)).collect();
    if !missing.is_empty() {
        eprintln!("skipped, as there is no {}: {what}", missing.join(", "));
    }
    missing.is_empty()
}
