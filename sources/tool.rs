//! Programs of this machine that a source leaves work to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::MemfdFlags;

use crate::pool::Stop;

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(50);

/// A program to run. It dies with this process, and when the request is cancelled.
pub(crate) struct HostTool {
    name: &'static str,
    command: Command,
    stdin: Option<Vec<u8>>,
}

/// How a program ended and what it said.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    /// Without blanks at its end.
    pub(crate) stderr: String,
}

impl HostTool {
    /// The program `name` of the search path.
    ///
    /// # Errors
    /// There is none; `purpose` says what it is needed for.
    pub(crate) fn find(name: &'static str, purpose: &str) -> Result<Self, String> {
        let program = on_path(name)
            .ok_or_else(|| format!("{purpose} needs the program `{name}`, which is not installed"))?;
        // where it cannot be told to die with us it is only killed when we are asked to end
        let command = match on_path("setpriv") {
            None => Command::new(program),
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
        };
        Ok(Self {
            name,
            command,
            stdin: None,
        })
    }

    #[must_use]
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    #[must_use]
    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it to its end. `watch` is called again and again meanwhile; its error ends the program.
    pub(crate) fn run(
        mut self,
        stop: &Stop,
        watch: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Ended, String> {
        let cannot = |e: std::io::Error| format!("cannot run {}: {e}", self.name);
        let (mut stdout, mut stderr) = (in_memory().map_err(cannot)?, in_memory().map_err(cannot)?);
        let stdin = match self.stdin.take() {
            None => Stdio::null(),
            Some(bytes) => {
                let mut file = in_memory().map_err(cannot)?;
                file.write_all(&bytes)
                    .and_then(|()| file.rewind())
                    .map_err(cannot)?;
                file.into()
            }
        };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(stdout.try_clone().map_err(cannot)?)
            .stderr(stderr.try_clone().map_err(cannot)?)
            .spawn()
            .map_err(cannot)?;
        let success = match wait(&mut child, stop, watch) {
            Ok(success) => success,
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                return Err(error);
            }
        };
        Ok(Ended {
            success,
            stdout: content(&mut stdout).map_err(cannot)?,
            stderr: String::from_utf8_lossy(&content(&mut stderr).map_err(cannot)?)
                .trim_end()
                .to_owned(),
        })
    }

    /// Runs it to its end; what it said is the error where it fails.
    pub(crate) fn succeed(
        self,
        stop: &Stop,
        watch: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Vec<u8>, String> {
        let name = self.name;
        let ended = self.run(stop, watch)?;
        match ended.success {
            true => Ok(ended.stdout),
            false => Err(format!("{name} failed: {}", ended.stderr)),
        }
    }
}

fn wait(
    child: &mut Child,
    stop: &Stop,
    watch: &mut dyn FnMut() -> Result<(), String>,
) -> Result<bool, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) => {}
            Err(e) => return Err(format!("cannot wait for a program: {e}")),
        }
        if stop.is_set() {
            return Err("interrupted".into());
        }
        watch()?;
        stop.pause(TICK);
    }
}

fn in_memory() -> std::io::Result<File> {
    Ok(rustix::fs::memfd_create("tool", MemfdFlags::CLOEXEC)?.into())
}

fn content(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sh(script: &str) -> HostTool {
        HostTool::find("sh", "a test").unwrap().args(["-c", script])
    }

    #[test]
    fn what_it_says_is_kept() {
        let stop = Stop::default();
        let ended = sh("cat; echo bad >&2; exit 3")
            .stdin("in")
            .run(&stop, &mut || Ok(()))
            .unwrap();
        assert_eq!(
            (ended.success, &*ended.stdout, &*ended.stderr),
            (false, &b"in"[..], "bad")
        );
        let error = sh("echo bad >&2; false")
            .succeed(&stop, &mut || Ok(()))
            .unwrap_err();
        assert_eq!(error, "sh failed: bad");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = HostTool::find("no-such-program", "fetching images")
            .err()
            .unwrap();
        assert_eq!(
            error,
            "fetching images needs the program `no-such-program`, which is not installed"
        );
    }

    #[test]
    fn it_is_ended_when_asked_to() {
        let started = Instant::now();
        let stop = Stop::default();
        let error = sh("exec sleep 600")
            .run(&stop, &mut || Err("enough".into()))
            .err()
            .unwrap();
        assert_eq!(error, "enough");
        stop.set();
        assert_eq!(
            sh("exec sleep 600").run(&stop, &mut || Ok(())).err().unwrap(),
            "interrupted"
        );
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
