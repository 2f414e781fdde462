//! A running machine: logging in, running commands, powering it off.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::slot::Slot;
use super::{Boot, Console};
use crate::run::ends_within;

/// How long a prompt may take once the one before was answered.
const PROMPT: Duration = Duration::from_secs(120);
/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(300);
/// How long an orderly end may take.
const END: Duration = Duration::from_secs(180);
/// A terminal that collects lines takes no longer one (N_TTY_BUF_SIZE of the kernel is 4096).
const LONGEST_LINE: usize = 4000;

/// The socket by which QEMU is told something.
const QMP: &str = "qmp";

/// A machine; it is killed when this goes.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    console: Console,
    /// Holds what QEMU itself has to say.
    dir: TempDir,
    commands: usize,
    _slot: Slot,
}

/// What a command in the machine printed (stdout and stderr together), and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: i32,
    pub output: String,
}

impl Machine {
    /// Starts it, as soon as no more than one other of this process runs.
    ///
    /// # Errors
    /// QEMU or the firmware is missing.
    pub fn start(boot: &Boot) -> Result<Self> {
        let slot = Slot::take();
        let dir = tempfile::Builder::new().prefix("osbuild-qemu-").tempdir()?;
        // even if we are killed, the machine is not left running
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
            .arg("-qmp")
            .arg(format!(
                "unix:{},server=on,wait=off",
                dir.path().join(QMP).display()
            ))
            // a kernel that panics ends the machine, and the waiting
            .args(["-no-reboot"])
            .args(boot.arguments()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("stderr"))?)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else {
            bail!("QEMU was started without its pipes");
        };
        Ok(Self {
            child,
            console: Console::new(output, input, boot.echo),
            dir,
            commands: 0,
            _slot: slot,
        })
    }

    /// Waits for the login prompt; the text before it.
    ///
    /// # Errors
    /// It does not come within `limit`; with the end of the console's text and with what QEMU said.
    pub fn wait_for_login(&mut self, limit: Duration) -> Result<String> {
        let found = self.console.wait_for(&[" login: "], limit);
        let (_, before) = found.with_context(|| self.complaint())?;
        Ok(before)
    }

    /// Logs in at the prompt, and makes the shell a quiet one.
    ///
    /// # Errors
    /// The password is refused, or the shell does not answer.
    pub fn login(&mut self, user: &str, password: &str) -> Result<()> {
        self.console.send(&format!("{user}\n"))?;
        self.console.wait_for(&["Password: "], PROMPT)?;
        self.console.send(&format!("{password}\n"))?;
        // input that comes before the shell listens is thrown away
        let mut prompt = || self.console.wait_for(&["$ ", "# ", "Login incorrect"], PROMPT);
        ensure!(prompt()?.0 != 2, "the machine refuses to let {user} in");
        self.quiet_shell(user)
    }

    /// Nothing but what the commands print shall come over the console.
    fn quiet_shell(&mut self, user: &str) -> Result<()> {
        self.console.send("stty -echo -onlcr; PS1= PS2=\n")?;
        let id = self.run("id -un")?;
        ensure!(
            id.output == format!("{user}\n"),
            "logged in as {user}, the machine says it is {}",
            id.output
        );
        if user == "root" {
            // the kernel shall not speak in between
            self.run("dmesg -n 1")?;
        }
        Ok(())
    }

    /// Makes the shell of one who may do so, asked for the password, one of root.
    ///
    /// # Errors
    /// `sudo` refuses.
    pub fn become_root(&mut self, password: &str) -> Result<()> {
        self.console.send("exec sudo -p 'sudo-''wants: ' sh\n")?;
        self.console.wait_for(&["sudo-wants: "], PROMPT)?;
        self.console.send(&format!("{password}\n"))?;
        let prompt = self.console.wait_for(&["# ", "sudo-wants: "], PROMPT)?;
        ensure!(prompt.0 == 0, "sudo refuses the password");
        self.quiet_shell("root")
    }

    /// Runs a shell command, after [`login`](Self::login).
    ///
    /// # Errors
    /// The machine ends or takes too long.
    pub fn run(&mut self, command: &str) -> Result<Answer> {
        self.run_within(command, COMMAND)
    }

    fn run_within(&mut self, command: &str, limit: Duration) -> Result<Answer> {
        self.commands += 1;
        let number = self.commands;
        let quoted = command.replace('\'', r"'\''");
        // the quotes keep the line as it is typed, and perhaps echoed, apart from what it prints
        let line = format!(
            "printf '\\n%s\\n' begin-''{number}; sh -c '{quoted}' </dev/null 2>&1; \
             printf '\\n%s %s\\n' end-''{number} $?\n"
        );
        let longest = line.lines().map(str::len).max();
        ensure!(
            longest <= Some(LONGEST_LINE),
            "the command is too long to be typed: {command}"
        );
        self.console.send(&line)?;
        let mut wait = |pattern: String| {
            let found = self.console.wait_for(&[&pattern], limit);
            found.with_context(|| format!("cannot run `{command}` in the machine"))
        };
        wait(format!("\nbegin-{number}\n"))?;
        let (_, output) = wait(format!("\nend-{number} "))?;
        let (_, status) = wait("\n".to_owned())?;
        Ok(Answer {
            status: status
                .trim()
                .parse()
                .with_context(|| format!("`{status}` is no exit status"))?,
            output,
        })
    }

    /// Runs a shell command that must succeed: what it printed, without the space around it.
    ///
    /// # Errors
    /// It fails.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.ask_within(command, COMMAND)
    }

    /// [`ask`](Self::ask) for a command that may take as long as `limit`.
    ///
    /// # Errors
    /// As there.
    pub fn ask_within(&mut self, command: &str, limit: Duration) -> Result<String> {
        let Answer { status, output } = self.run_within(command, limit)?;
        ensure!(
            status == 0,
            "`{command}` in the machine: exit status {status}\n{output}"
        );
        Ok(output.trim().to_owned())
    }

    /// Presses the power button, and waits for the orderly end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn power_off(mut self) -> Result<()> {
        let mut qmp = UnixStream::connect(self.dir.path().join(QMP)).context("QEMU does not listen")?;
        // the answers, and the greeting before them, say nothing that the machine's end does not say
        for command in ["qmp_capabilities", "system_powerdown"] {
            writeln!(qmp, "{{\"execute\": \"{command}\"}}")?;
        }
        ensure!(
            ends_within(&self.child, END),
            "the machine does not power off; its console ends with\n{}",
            self.console.tail()
        );
        let status = self.child.wait()?;
        ensure!(status.success(), "QEMU failed: {status}\n{}", self.complaint());
        Ok(())
    }

    /// Everything that came over the console.
    pub fn transcript(&self) -> String {
        self.console.transcript()
    }

    /// The console itself.
    pub fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    fn complaint(&self) -> String {
        let stderr = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        match stderr.trim() {
            "" => "the machine does not boot".to_owned(),
            text => format!("the machine does not boot; QEMU says: {text}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
