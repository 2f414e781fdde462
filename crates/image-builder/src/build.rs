//! `image-builder build`: the manifest is handed to `osbuild`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli::Build;
use crate::compose;
use crate::error::{Failure, OrFail, Result};
use crate::print;

/// Makes the manifest and builds it.
pub fn run(build: &Build) -> Result<()> {
    let manifest = print::text(&compose::manifest(&build.image)?)?;
    let program = osbuild();
    let mut child = Command::new(&program)
        .arg("--store")
        .arg(&build.store)
        .arg("--output")
        .arg(&build.output)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::failed(format!("cannot run {}: {error}", program.display()))
                .hint("`osbuild` must lie beside `image-builder` or in the PATH")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // one that ends early says itself why
        stdin.write_all(manifest.as_bytes()).ok();
    }
    let status = child
        .wait()
        .or_fail(|| format!("cannot wait for {}", program.display()))?;
    if status.success() {
        println!("{}", build.output.join(build.image.image.filename()).display());
        return Ok(());
    }
    Err(Failure::failed(match status.signal() {
        Some(signal) => format!("osbuild was killed by signal {signal}"),
        None => "osbuild could not build the image; what it said stands above".to_owned(),
    }))
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
