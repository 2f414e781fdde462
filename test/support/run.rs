//! Runs a command to its end, or to its time limit.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was called, for messages.
    pub command: String,
    /// The exit code; 128 and the number of the signal where one ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub time: Duration,
}

/// Runs `command` with `stdin` until it ends; after `limit` it is killed.
///
/// # Panics
/// It cannot be started, or takes longer than `limit`.
pub fn run(command: &mut Command, stdin: &[u8], limit: Duration) -> Run {
    let name = format!("{command:?}");
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
    let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (ended, stdout, stderr) = std::thread::scope(|scope| {
        // who does not read its input is free not to
        scope.spawn(move || input.map(|mut input| input.write_all(stdin)));
        let stdout = scope.spawn(move || text(stdout));
        let stderr = scope.spawn(move || text(stderr));
        let ended = ends_within(&child, limit);
        if !ended {
            let _ = child.kill();
        }
        (
            ended,
            stdout.join().unwrap_or_default(),
            stderr.join().unwrap_or_default(),
        )
    });
    let status = child
        .wait()
        .unwrap_or_else(|e| panic!("cannot wait for {name}: {e}"));
    assert!(
        ended,
        "{name} took longer than {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
    );
    let signal = status.signal().map(|signal| 128 + signal);
    Run {
        command: name,
        code: status.code().or(signal).unwrap_or(-1),
        stdout,
        stderr,
        time: start.elapsed(),
    }
}

impl Run {
    /// # Panics
    /// The exit code is another one; the message has all that was printed.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(
            self.code == code,
            "exit code {}, not {code}, of {self}",
            self.code
        );
        self
    }

    /// # Panics
    /// One of `parts` is not in what went to stderr.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is not on the stderr of {self}"
            );
        }
        self
    }

    /// Its stdout as one JSON document.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON ({e}): {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        write!(f, "{}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.command)
    }
}

fn text(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for a child, which stays a zombie.
pub fn ends_within(child: &Child, limit: Duration) -> bool {
    match i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        Some(pid) => pid_ends_within(pid, limit),
        None => false,
    }
}

/// Waits for any process.
pub(crate) fn pid_ends_within(pid: Pid, limit: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, stdin: &[u8]) -> Run {
        run(
            Command::new("sh").args(["-c", script]),
            stdin,
            Duration::from_secs(60),
        )
    }

    #[test]
    fn everything_is_captured() {
        let run = sh("cat; echo bad >&2; exit 3", b"in");
        assert_eq!(
            (run.code, run.stdout.as_str(), run.stderr.as_str()),
            (3, "in", "bad\n")
        );
        assert_eq!(sh("kill -TERM $$", b"").code, 143);
        // more than a pipe holds, to one that does not read it
        assert_eq!(sh("exec <&-; echo x", &[0; 1 << 20]).stdout, "x\n");
    }

    #[test]
    #[should_panic(expected = "took longer")]
    fn what_never_ends_is_killed() {
        run(Command::new("sleep").arg("600"), b"", Duration::from_millis(50));
    }
}
