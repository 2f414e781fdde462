//! `image-builder build`: the manifest is handed to `osbuild`.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::Build;
use crate::compose;
use crate::error::{Failure, OrFail, Result};
use crate::print;

/// Makes the manifest and becomes the `osbuild` that builds it: signals reach that one, and its exit code is ours.
pub fn run(build: &Build) -> Result<()> {
    let manifest = print::text(&compose::manifest(&build.image)?)?;
    let manifest = file_of(&manifest).or_fail(|| "cannot hand the manifest to osbuild".to_owned())?;
    let image = build.output.join(build.image.image.filename());
    print::note(&format!("building {}", image.display()));
    let program = osbuild();
    let mut command = Command::new(&program);
    for (option, path) in [("--sbom", &build.sbom), ("--provenance", &build.provenance)] {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    let error = command
        .arg("--store")
        .arg(&build.store)
        .arg("--output")
        .arg(&build.output)
        .arg("-")
        .stdin(manifest)
        .exec();
    Err(
        Failure::failed(format!("cannot run {}: {error}", program.display()))
            .hint("`osbuild` must lie beside `image-builder` or in the PATH"),
    )
}

/// A file without a name that holds a text, to be read from its beginning.
fn file_of(text: &str) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// The one beside this program, else the one in the path.
fn osbuild() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .map(|program| program.with_file_name("osbuild"));
    beside
        .filter(|program| program.exists())
        .unwrap_or_else(|| "osbuild".into())
}
