//! The executables under test: where they are, and how they are built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// Where `cargo xtask test` says that the executables are.
const VARIABLE: &str = "OSBUILD_TEST_BIN";

/// How the executables are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
    Dist,
}

/// A directory with `osbuild`, `image-builder` and `osbuild-modules`.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub dir: PathBuf,
}

impl Profile {
    /// Its name for cargo.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            other => other.name(),
        }
    }
}

impl Binaries {
    /// Builds all three, the modules static; with `prefix` compiled in as the place where they will be installed.
    ///
    /// # Errors
    /// cargo fails, or the modules come out dynamic.
    pub fn build(profile: Profile, prefix: Option<&Path>) -> Result<Self> {
        let set = |command: &mut Command| {
            command.args(["--profile", profile.name()]);
            if let Some(prefix) = prefix {
                command.env("OSBUILD_PREFIX", prefix);
            }
        };
        let mut commands = cargo("build");
        commands.args(["-p", "osbuild", "-p", "image-builder"]);
        set(&mut commands);
        succeed(&mut commands)?;
        // a build root need not have an interpreter, nor our libc
        let mut modules = cargo("rustc");
        modules.args(["-p", "osbuild-modules", "--bin", "osbuild-modules"]);
        set(&mut modules);
        // at a fixed address: what is relocated costs each stage a third of a millisecond, and boxes are what guards it
        let flags = [
            "-C",
            "target-feature=+crt-static",
            "-C",
            "relocation-model=static",
        ];
        modules.arg("--").args(flags);
        succeed(&mut modules)?;
        let binaries = Self {
            dir: target_directory()?.join(profile.folder()),
        };
        let modules = binaries.modules();
        ensure!(
            is_static(&modules)?,
            "{} asks for an interpreter, though it was linked statically",
            modules.display()
        );
        Ok(binaries)
    }

    /// Builds an osbuild with failpoints, in a target directory of its own; the modules are those of `self`. Its path.
    ///
    /// # Errors
    /// cargo fails.
    pub fn with_failpoints(&self) -> Result<PathBuf> {
        let target = target_directory()?.join("failpoints");
        let mut build = cargo("build");
        build.args(["-p", "osbuild", "--features", "failpoints"]);
        // lines are enough, and even they take most of the space
        build
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", &target);
        succeed(&mut build)?;
        let dir = target.join(Profile::Dev.folder());
        let modules = dir.join("osbuild-modules");
        let _ = std::fs::remove_file(&modules);
        std::os::unix::fs::symlink(self.modules(), &modules)
            .with_context(|| format!("cannot make {}", modules.display()))?;
        Ok(dir.join("osbuild"))
    }

    /// An osbuild with failpoints: the one that the environment names, else it is built once.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn find_with_failpoints(&self) -> Result<PathBuf> {
        static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| match std::env::var_os("OSBUILD_TEST_FAILPOINTS") {
            Some(path) => Ok(PathBuf::from(path)),
            None => self.with_failpoints().map_err(|e| format!("{e:#}")),
        });
        found.clone().map_err(anyhow::Error::msg)
    }

    /// Those that the environment names; without that, those of the dev profile, brought up to date once.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn find() -> Result<Self> {
        static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| match std::env::var_os(VARIABLE) {
            Some(dir) => Ok(PathBuf::from(dir)),
            None => Self::build(Profile::Dev, None)
                .map(|binaries| binaries.dir)
                .map_err(|e| format!("{e:#}")),
        });
        match found {
            Ok(dir) => Ok(Self { dir: dir.clone() }),
            Err(error) => bail!("{error}"),
        }
    }

    /// The environment that makes [`find`](Self::find) take these.
    pub fn variable(&self) -> (&'static str, OsString) {
        (VARIABLE, self.dir.clone().into())
    }

    pub fn osbuild(&self) -> PathBuf {
        self.dir.join("osbuild")
    }

    pub fn image_builder(&self) -> PathBuf {
        self.dir.join("image-builder")
    }

    pub fn modules(&self) -> PathBuf {
        self.dir.join("osbuild-modules")
    }
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Whether an ELF executable needs no dynamic loader: it has no `PT_INTERP` (ELF-64, little-endian).
///
/// # Errors
/// It cannot be read, or is no such executable.
pub fn is_static(executable: &Path) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let name = executable.display();
    let bytes = std::fs::read(executable).with_context(|| format!("cannot read {name}"))?;
    ensure!(
        bytes.starts_with(b"\x7fELF\x02\x01"),
        "{name} is no 64-bit little-endian ELF file"
    );
    let number = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let headers = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|index| Some(number(usize::try_from(start + index * size).ok()?, 4)? as u32))
            .collect::<Option<Vec<_>>>()
    };
    let types = headers().with_context(|| format!("the program headers of {name} are cut off"))?;
    Ok(!types.contains(&PT_INTERP))
}

/// Where cargo puts what it builds.
fn target_directory() -> Result<PathBuf> {
    let output = cargo("metadata")
        .args(["--no-deps", "--offline", "--format-version", "1"])
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let dir = metadata["target_directory"].as_str();
    Ok(dir.context("cargo metadata names no target directory")?.into())
}

fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).current_dir(repository());
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo could not build: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(!is_static(&std::env::current_exe().unwrap()).unwrap());
        let script = std::env::temp_dir().join(format!("is-static-{}", std::process::id()));
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let error = is_static(&script).unwrap_err().to_string();
        std::fs::remove_file(script).unwrap();
        assert!(error.contains("no 64-bit"), "{error}");
    }
}
