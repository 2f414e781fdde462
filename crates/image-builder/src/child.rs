//! The programs that resolve packages, and their end when somebody stops us.
//!
//! A signal that ends us ends such a program first, then removes what we keep for a run; and where we are killed the kernel
//! ends it. So nothing goes on fetching, or holds the locks of the cache, behind the back of the next run.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a program that was told to end may take to do so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a signal has to clear up.
struct State {
    /// The program that runs.
    child: Option<Pid>,
    /// The directory of the run.
    scratch: Option<PathBuf>,
    stopped: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    child: None,
    scratch: None,
    stopped: false,
});
static ENDED: Condvar = Condvar::new();

/// Ends us, and what runs, when a signal asks for it: with the exit code 128 and the signal's number. To be called once.
///
/// # Errors
/// The kernel takes no handlers.
pub fn listen() -> io::Result<()> {
    let mut wanted = vec![SIGINT, SIGQUIT, SIGTERM];
    // under `nohup` we go on when the terminal goes away
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted)?;
    std::thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            stop();
            std::process::exit(128 + number);
        }
    });
    Ok(())
}

/// Runs a program to its end, nothing to be read from its input; what it printed.
///
/// # Errors
/// It cannot be run.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null());
    end_with_us(command);
    let child = {
        let mut state = wait_where_stopped(lock());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        state.child = Some(Pid::from_child(&child));
        child
    };
    let output = child.wait_with_output();
    let mut state = lock();
    state.child = None;
    ENDED.notify_all();
    drop(wait_where_stopped(state));
    output
}

/// Says which directory is to go when a signal ends us; none once the run has removed it.
pub fn keep_in_mind(scratch: Option<&Path>) {
    lock().scratch = scratch.map(Path::to_owned);
}

/// The end is the signal's thread's, which must not be overtaken: not by a message that a program failed, either.
fn wait_where_stopped(mut state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
    while state.stopped {
        state = ENDED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state
}

/// Has the kernel tell the program to end when we are gone.
#[allow(unsafe_code)]
fn end_with_us(command: &mut Command) {
    // SAFETY: between fork and exec only one call of the kernel is made, which allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
}

fn stop() {
    let mut state = lock();
    state.stopped = true;
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(child) = state.child else { break };
        // its own helpers end when it does not answer any more
        let _ = kill_process(child, signal);
        let waited = ENDED.wait_timeout_while(state, PATIENCE, |state| state.child.is_some());
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    if let Some(scratch) = &state.scratch {
        // the next run removes what resists
        let _ = std::fs::remove_dir_all(scratch);
    }
}

/// Whether whoever started us ignores a signal (proc(5), `SigIgn`: a mask of which bit 0 is signal 1).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
