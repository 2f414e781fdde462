//! What a command and all it started have cost.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The cost of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    /// User and system time of the whole process tree.
    pub(super) cpu: Duration,
    /// The most memory that the process itself had at once, in bytes; 0 where nobody looked.
    pub(super) memory: u64,
}

/// Runs a command that must succeed. Only one may run at a time: the processor time is that of all children.
///
/// # Errors
/// It cannot be started, or fails: then with all that it printed.
pub(super) fn spend(command: &mut Command) -> Result<Spent> {
    run(command, false)
}

/// [`spend`], with an eye on the memory of the process.
pub(super) fn spend_watched(command: &mut Command) -> Result<Spent> {
    run(command, true)
}

fn run(command: &mut Command, watched: bool) -> Result<Spent> {
    let before = processor_time()?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (printed, memory) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || read(err.as_mut()));
        let pid = child.id();
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let watcher = watched.then(|| {
            scope.spawn(move || {
                let mut most = 0;
                // the kernel keeps the peak: only what comes in the last moment is missed
                while end.recv_timeout(Duration::from_millis(20))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    most = most.max(peak(pid));
                }
                most
            })
        });
        let mut printed = read(out.as_mut());
        printed += &errors.join().unwrap_or_default();
        drop(ended);
        (printed, watcher.map_or(0, |watcher| watcher.join().unwrap_or(0)))
    });
    let status = child.wait()?;
    let wall = start.elapsed();
    ensure!(status.success(), "{command:?}: {status}\n{printed}");
    Ok(Spent {
        wall,
        cpu: processor_time()?.saturating_sub(before),
        memory,
    })
}

fn read(from: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    // what cannot be read is missing in a message, no more
    let _ = from.map(|from| from.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// User and system time of all children that have ended.
fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// `VmHWM` of a process, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_a_cost_and_a_failed_one_its_output() {
        let spent =
            spend(Command::new("sh").args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]))
                .unwrap();
        assert!(
            spent.cpu > Duration::ZERO && spent.wall > Duration::ZERO,
            "{spent:?}"
        );
        let error = spend(Command::new("sh").args(["-c", "echo it is so; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("it is so"), "{error}");
        assert!(peak(std::process::id()) > 1 << 20);
    }
}
