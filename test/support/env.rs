//! A fresh place in which the commands run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::told::panics_are_told_at_once;
use crate::{Binaries, Run, left_behind, run};

/// No command of a test takes longer, not even on a slow machine.
const LIMIT: Duration = Duration::from_secs(1800);

/// A directory with a store, an output directory, a directory for temporary files; the commands run in it.
///
/// When it goes, it checks that nothing was left behind: no mount, loop device or process that has to do with it, no
/// temporary file, no unfinished tree in the store.
///
/// All methods panic with what went wrong: they are for tests.
#[derive(Debug)]
pub struct TestEnv {
    dir: TempDir,
    binaries: Binaries,
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl TestEnv {
    /// Makes one. Below `/var/tmp`, since `/tmp` may be small or unable to hold overlays.
    pub fn new() -> Self {
        Self::with(Binaries::find().unwrap_or_else(|e| panic!("{e:#}")))
    }

    /// [`TestEnv::new`] for these executables.
    pub fn with(binaries: Binaries) -> Self {
        panics_are_told_at_once();
        let dir = tempfile::Builder::new()
            .prefix("osbuild-test-")
            .tempdir_in("/var/tmp")
            .expect("a directory in /var/tmp can be made");
        std::fs::create_dir(dir.path().join("tmp")).expect("it can be written");
        Self { dir, binaries }
    }

    /// The directory itself, or something in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let parent = path.parent().expect("a file has a directory");
        std::fs::create_dir_all(parent).expect("directories can be made");
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    /// A command that runs here, with temporary files here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("TMPDIR", self.path("tmp"))
            .env("LC_ALL", "C.UTF-8")
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs `osbuild` with just these arguments.
    pub fn osbuild<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.osbuild_on(args, b"")
    }

    /// Runs `osbuild` with just these arguments and something on its stdin.
    pub fn osbuild_on<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Run {
        run(self.command(self.binaries.osbuild()).args(args), stdin, LIMIT)
    }

    /// Runs `image-builder` with just these arguments.
    pub fn image_builder<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        run(self.command(self.binaries.image_builder()).args(args), b"", LIMIT)
    }

    /// The command that builds a manifest from stdin, with the store and the output directory of this place.
    pub fn build_command(&self) -> Command {
        let mut command = self.command(self.binaries.osbuild());
        command.arg("--store").arg(self.store());
        command.arg("--output").arg(self.out()).arg("-");
        command
    }

    /// Builds a manifest, with further arguments.
    pub fn build(&self, manifest: &Value, args: &[&str]) -> Run {
        let text = manifest.to_string();
        run(self.build_command().args(args), text.as_bytes(), LIMIT)
    }

    /// Writes a text as `manifest.json` and builds that.
    pub fn build_text(&self, text: &str, args: &[&str]) -> Run {
        let path = self.write("manifest.json", text);
        let mut command = self.command(self.binaries.osbuild());
        command.arg("--store").arg(self.store());
        command.arg("--output").arg(self.out()).args(args);
        run(
            command.arg(path.strip_prefix(self.dir.path()).unwrap_or(&path)),
            b"",
            LIMIT,
        )
    }

    /// What the commands left behind.
    pub fn left_behind(&self) -> Vec<String> {
        let mut left = left_behind(self.dir.path());
        for folder in ["tmp", "store/tmp"] {
            let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string())));
        }
        left
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = self.left_behind();
            assert!(left.is_empty(), "this was left behind:\n{}", left.join("\n"));
        }
    }
}
