//! The Python package that foreign modules import.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

/// Asks where the package is.
const QUESTION: &str = "import importlib.util as u, os\n\
    s = u.find_spec('osbuild')\n\
    print(os.path.dirname(s.origin) if s and s.origin else '')";

/// The package of a library directory: its own, or where that is an empty directory, as packages of distributions have
/// it, the one that `python3` of the caller's environment finds.
pub(crate) fn package(libdir: &Path) -> Option<PathBuf> {
    let own = libdir.join("osbuild");
    let mut entries = std::fs::read_dir(&own).ok()?;
    if entries.next().is_some() {
        return Some(own);
    }
    let output = Command::new("python3")
        .args(["-c", QUESTION])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (path.is_absolute() && path.is_dir()).then_some(path)
}

/// A digest of the sources of a package.
pub(crate) fn digest(package: &Path) -> String {
    let mut hash = Sha256::new();
    add(package, package, &mut hash);
    hex::encode(hash.finalize())
}

fn add(package: &Path, dir: &Path, hash: &mut Sha256) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            add(package, &path, hash);
        } else if path.extension().is_some_and(|extension| extension == "py") {
            let content = std::fs::read(&path).unwrap_or_default();
            hash.update(
                path.strip_prefix(package)
                    .unwrap_or(&path)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
    }
}
