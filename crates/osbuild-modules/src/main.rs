//! All stages and assemblers in one executable.
//!
//! It runs the module it was called as (a link `org.osbuild.hostname` to it), or the one named by its first argument. In the
//! boxes of foreign modules it also stands in for `qemu-img`, where a build asks for that.

// arguments that Rust's own `main` has not seen are there with glibc alone
#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

#[cfg(all(not(test), target_env = "gnu"))]
mod start;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(not(all(not(test), target_env = "gnu")))]
fn main() -> ExitCode {
    run()
}

fn run() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).file_name() == Some(stages::qemu_img::NAME.as_ref()) {
        return stages::qemu_img::main(std::env::args_os());
    }
    // a stage and an assembler may share a name (org.osbuild.noop): the folder of the link decides
    let assemblers_first = is_in_assemblers(Path::new(&called), std::env::var_os("PATH"));
    let (first, second) = if assemblers_first {
        (assemblers::MODULES, stages::MODULES)
    } else {
        (stages::MODULES, assemblers::MODULES)
    };
    module::run_main(&[first, second].concat())
}

/// Whether the link by which the program was called lies in a folder `assemblers`.
///
/// The executor calls it `assemblers/NAME`, where there is no such folder; a person perhaps `./NAME`, or by the path.
fn is_in_assemblers(called: &Path, path: Option<OsString>) -> bool {
    if called.parent() == Some(Path::new("stages")) {
        // as the executor calls it: nothing to look up
        return false;
    }
    let is_it = |folder: &Path| folder.file_name().is_some_and(|name| name == "assemblers");
    let folder = match called.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => Some(PathBuf::from(folder)),
        _ => path.and_then(|path| std::env::split_paths(&path).find(|folder| folder.join(called).exists())),
    };
    folder.is_some_and(|folder| is_it(&folder) || folder.canonicalize().is_ok_and(|folder| is_it(&folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_link_decides() {
        let called = |name: &str| is_in_assemblers(Path::new(name), None);
        assert!(called("assemblers/org.osbuild.noop"));
        assert!(called("/usr/lib/osbuild/assemblers/org.osbuild.noop"));
        assert!(!called("/srv/assemblers/lib/stages/org.osbuild.noop"));
        assert!(!called("stages/org.osbuild.noop"));
        assert!(!called("osbuild-modules"));
    }

    #[test]
    fn a_folder_that_is_not_named_is_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("assemblers");
        std::fs::create_dir_all(folder.join("x")).unwrap();
        std::fs::write(folder.join("org.osbuild.noop"), "").unwrap();
        let path = Some(folder.clone().into_os_string());
        assert!(is_in_assemblers(Path::new("org.osbuild.noop"), path.clone()));
        assert!(!is_in_assemblers(Path::new("org.osbuild.other"), path));
        assert!(is_in_assemblers(&folder.join("x/../org.osbuild.noop"), None));
    }
}
