//! Ctrl-C and SIGTERM: stop, clean up, and say which it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use executor::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// What cannot be stopped half-way, such as copying a large file, has this long to end. Nothing of it is in its place yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// What holds devices of the machine has longer: host services, longer than the executor gives each of them, and our own
/// tools.
const CLEANING: Duration = Duration::from_secs(60);

/// Listens from its making on.
#[derive(Debug)]
pub(crate) struct Interrupt {
    pub(crate) cancel: Arc<Cancel>,
    signal: Arc<AtomicI32>,
}

impl Interrupt {
    /// Starts the listening thread. The first signal stops the build, and a little later what has not come to
    /// its end; the second one does so at once. What is typed for a shell that is open is not for us.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let this = Self {
            cancel: Arc::default(),
            signal: Arc::default(),
        };
        let (cancel, signal) = (this.cancel.clone(), this.signal.clone());
        let mut wanted = vec![SIGINT, SIGQUIT, SIGTERM];
        // under `nohup` the build goes on when its terminal goes away
        if !is_ignored(SIGHUP) {
            wanted.push(SIGHUP);
        }
        let mut signals = Signals::new(wanted)?;
        std::thread::spawn(move || {
            for number in signals.forever() {
                if matches!(number, SIGINT | SIGQUIT) && cancel.is_shell_open() {
                    continue;
                }
                if signal.swap(number, Ordering::SeqCst) != 0 {
                    end(number);
                }
                cancel.cancel();
                executor::open_no_devices();
                std::thread::spawn(move || {
                    wait_for_the_end();
                    end(number);
                });
            }
        });
        Ok(this)
    }

    /// 128 and the number of the signal that came, SIGINT's where none did.
    pub(crate) fn exit_code(&self) -> u8 {
        let signal = match self.signal.load(Ordering::SeqCst) {
            0 => SIGINT,
            other => other,
        };
        128 + signal as u8
    }
}

/// Gives what cannot be stopped half-way its time.
fn wait_for_the_end() {
    let begun = Instant::now();
    std::thread::sleep(PATIENCE);
    let holds = || executor::services_run() || executor::devices_last();
    while holds() && begun.elapsed() < CLEANING {
        std::thread::sleep(PATIENCE / 10);
    }
}

/// Whether whoever started us ignores a signal (proc(5), `SigIgn`: a mask of which bit 0 is signal 1).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Ends the process, with nothing of it left.
fn end(number: i32) -> ! {
    executor::abandon();
    store::abandon();
    crate::trace_file::finish();
    std::process::exit(128 + number)
}
