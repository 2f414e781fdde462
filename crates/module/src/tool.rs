//! Running the tools of the build root.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Result, bail};

/// A command of the build root. What it prints is the module's log; a failure is an error that names the command.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    stdin: Vec<u8>,
}

impl Tool {
    /// The program `name`, found in the path of the sandbox.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(name),
            stdin: Vec::new(),
        }
    }

    /// The program `name` of the tree itself, run with the tree as its root directory.
    pub fn in_root(root: &Path, name: &str) -> Self {
        Self::new("chroot").arg(root).arg(name)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the command reads on its stdin; nothing otherwise.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs the command to its end.
    pub fn run(self) -> Result<()> {
        self.finish(Stdio::inherit()).map(drop)
    }

    /// Runs the command to its end and returns its exit code: 128 + n where signal n killed it.
    pub fn status(self) -> Result<i32> {
        let (_, output) = self.spawn(Stdio::inherit())?;
        let signal = || 128 + output.status.signal().unwrap_or_default();
        Ok(output.status.code().unwrap_or_else(signal))
    }

    /// Runs the command and returns what it printed on stdout.
    pub fn output(self) -> Result<Vec<u8>> {
        self.finish(Stdio::piped())
    }

    fn finish(self, stdout: Stdio) -> Result<Vec<u8>> {
        let (line, output) = self.spawn(stdout)?;
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => Ok(output.stdout),
            (Some(code), _) => bail!("`{line}` failed with exit code {code}"),
            (None, signal) => bail!("`{line}` was killed by signal {}", signal.unwrap_or_default()),
        }
    }

    /// Runs the command to its end; returns it as a line, for messages, and how it ended.
    fn spawn(mut self, stdout: Stdio) -> Result<(String, Output)> {
        let name = self.command.get_program().to_owned();
        let words: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        let line = std::iter::once(&name)
            .chain(&words)
            .map(|w| w.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        let program = Path::new(&name).file_name().unwrap_or(&name).to_string_lossy();
        let _span = trace::span(&program).with("command", line.chars().take(200).collect::<String>());
        // what we printed before the command must stand before what it prints
        std::io::stdout().flush().ok();
        self.command
            .stdin(if self.stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(stdout);
        let mut child = self.command.spawn().map_err(|error| cannot_run(&line, error))?;
        let stdin = child.stdin.take();
        let input = std::mem::take(&mut self.stdin);
        let output = std::thread::scope(|scope| {
            if let Some(mut stdin) = stdin {
                // a command may well end before it has read everything
                scope.spawn(move || stdin.write_all(&input).ok());
            }
            child.wait_with_output()
        })?;
        Ok((line, output))
    }
}

fn cannot_run(line: &str, error: std::io::Error) -> anyhow::Error {
    // a box in which no sockets can be made refuses the pair that starts a program
    let hint = match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::PERM) => " (a module that runs programs must say so: `needs: [Tools]`)",
        _ => "",
    };
    anyhow::Error::new(error).context(format!("cannot run `{line}`{hint}"))
}
