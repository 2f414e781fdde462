//! A few threads that work through a list, and a caller that may lose patience.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How often the caller looks what has come and whether it was cancelled.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// How long a cancelled caller waits for its threads. One that is in the middle of a name lookup or a connect, which
/// nothing interrupts, is left to itself: it finds the [`Stop`] set and ends.
const GRACE: Duration = Duration::from_millis(800);

/// Tells the threads to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<(AtomicBool, Mutex<()>, Condvar)>);

/// What threads say while they work.
#[derive(Debug)]
pub(crate) enum Note {
    /// So many bytes have come.
    Bytes(u64),
    /// Something went wrong, and is tried again.
    Retry(String),
}

/// How a thread talks to the caller.
pub(crate) struct Reporter<'a> {
    bytes: &'a AtomicU64,
    retry: &'a (dyn Fn(String) + Sync),
}

/// What the threads have brought and the caller has not looked at yet. It looks now and then: to be woken for each small
/// file would cost more than some of them.
struct Brought<T> {
    bytes: AtomicU64,
    done: Mutex<Vec<(usize, T)>>,
}

impl<T> Brought<T> {
    fn done(&self) -> std::sync::MutexGuard<'_, Vec<(usize, T)>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stop {
    pub(crate) fn set(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        let _guard = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.2.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Waits so long, or until it is set.
    pub(crate) fn pause(&self, time: Duration) {
        let guard = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.0
                .2
                .wait_timeout_while(guard, time, |()| !self.is_set())
                .map(|(guard, _)| guard),
        );
    }
}

impl Reporter<'_> {
    pub(crate) fn bytes(&self, n: u64) {
        self.bytes.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self, message: String) {
        (self.retry)(message);
    }
}

/// Does `work` for 0, 1, … `count` in up to `jobs` threads. `on_note` and `on_done` are called by the calling thread;
/// so is `interrupt`, once, when `cancelled` is found set. `None` stands for what was not finished by then.
pub(crate) fn run<T: Send + 'static>(
    (count, jobs): (usize, usize),
    (cancelled, stop, interrupt): (&AtomicBool, &Stop, &dyn Fn()),
    work: impl Fn(usize, &Reporter<'_>) -> T + Send + Sync + 'static,
    on_note: &dyn Fn(Note),
    on_done: &dyn Fn(usize, &T),
) -> Vec<Option<T>> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    if count == 0 {
        return results;
    }
    let next = Arc::new(AtomicUsize::new(0));
    let work = Arc::new(work);
    let brought = Arc::new(Brought {
        bytes: AtomicU64::new(0),
        done: Mutex::default(),
    });
    let (send, receive) = mpsc::channel();
    for _ in 0..jobs.clamp(1, count) {
        let (next, work, send, stop) = (next.clone(), work.clone(), send.clone(), stop.clone());
        let brought = brought.clone();
        std::thread::spawn(move || {
            trace::track_one_of("download");
            let retry = |message| drop(send.send(message));
            let reporter = Reporter {
                bytes: &brought.bytes,
                retry: &retry,
            };
            while !stop.is_set() {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    break;
                }
                let result = work(i, &reporter);
                brought.done().push((i, result));
            }
        });
    }
    drop(send);
    let mut look = || {
        let done = std::mem::take(&mut *brought.done());
        match brought.bytes.swap(0, Ordering::Relaxed) {
            0 => {}
            bytes => on_note(Note::Bytes(bytes)),
        }
        for (i, result) in done {
            on_done(i, &result);
            results[i] = Some(result);
        }
    };
    let mut give_up: Option<Instant> = None;
    loop {
        let message = receive.recv_timeout(TICK);
        look();
        match message {
            Ok(message) => on_note(Note::Retry(message)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if give_up.is_none() && cancelled.load(Ordering::SeqCst) {
            stop.set();
            interrupt();
            give_up = Some(Instant::now() + GRACE);
        }
        if give_up.is_some_and(|at| Instant::now() >= at) {
            break;
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let stop = Stop::default();
        let bytes = AtomicU64::new(0);
        let results = run(
            (100, 7),
            (&AtomicBool::new(false), &stop, &|| {}),
            |i, reporter| {
                reporter.bytes(i as u64);
                i * 2
            },
            &|note| match note {
                Note::Bytes(n) => drop(bytes.fetch_add(n, Ordering::Relaxed)),
                Note::Retry(message) => panic!("{message}"),
            },
            &|i, result| assert_eq!(*result, i * 2),
        );
        assert!(results.iter().enumerate().all(|(i, r)| *r == Some(i * 2)));
        assert_eq!(bytes.into_inner(), (0..100).sum::<u64>());
    }

    #[test]
    fn a_cancelled_caller_does_not_wait_for_a_thread_that_hangs() {
        let stop = Stop::default();
        let started = Instant::now();
        let (never, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let results = run(
            (2, 2),
            (&AtomicBool::new(true), &stop, &|| {}),
            move |_, _| drop(wait.lock().map(|wait| wait.recv())),
            &|_| {},
            &|_, ()| {},
        );
        assert_eq!(results, [None, None]);
        assert!(started.elapsed() < Duration::from_secs(3));
        drop(never);
    }
}
