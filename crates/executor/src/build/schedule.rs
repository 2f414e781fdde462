//! Doing things side by side, each after those it waits for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is to be done, and how far it is.
struct Schedule<'a> {
    /// For each thing, those before it that it waits for.
    waits: &'a [Vec<usize>],
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    begun: Vec<bool>,
    done: Vec<bool>,
    stopped: bool,
}

/// Does `work` for the numbers 0, 1, … of `waits`, at most `jobs` at a time, each after those that it waits for, lower
/// numbers first. When one returns false no more are begun.
///
/// With one job all is done by one thread, in order. It is never the calling one: that one's memory has had a manifest and its
/// schemas in it, and what a stage needs would lie strewn over the holes they left. Each page that is written to while a
/// box is being made is copied first; a thread has memory of its own, in which all of that is a few pages.
pub(super) fn run(jobs: usize, waits: &[Vec<usize>], work: &(impl Fn(usize) -> bool + Sync)) {
    let schedule = Schedule {
        waits,
        state: Mutex::new(State {
            begun: vec![false; waits.len()],
            done: vec![false; waits.len()],
            stopped: false,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(width(waits)).max(1) {
            scope.spawn(|| schedule.take_part(work));
        }
    });
}

/// How many there may be at a time: one where each waits for the one before it.
fn width(waits: &[Vec<usize>]) -> usize {
    let is_chain = waits
        .iter()
        .enumerate()
        .skip(1)
        .all(|(number, waits)| waits.contains(&(number - 1)));
    if is_chain { 1 } else { waits.len() }
}

impl Schedule<'_> {
    fn take_part(&self, work: &(impl Fn(usize) -> bool + Sync)) {
        while let Some(number) = self.next() {
            // a panic must not leave the others waiting
            let stop = Stop(self);
            let goes_on = work(number);
            std::mem::forget(stop);
            let mut state = self.state();
            state.done[number] = true;
            state.stopped |= !goes_on;
            self.changed.notify_all();
        }
    }

    /// The next one that can begin, waited for; `None`: there is nothing left for this thread.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.stopped || state.begun.iter().all(|begun| *begun) {
                return None;
            }
            let can_begin = |number: &usize| {
                !state.begun[*number] && self.waits[*number].iter().all(|other| state.done[*other])
            };
            if let Some(number) = (0..self.waits.len()).find(can_begin) {
                state.begun[number] = true;
                return Some(number);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Stop<'a>(&'a Schedule<'a>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.state().stopped = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    fn order_of(jobs: usize, waits: &[Vec<usize>], fails: Option<usize>) -> Vec<usize> {
        let order = Mutex::new(Vec::new());
        run(jobs, waits, &|number| {
            order.lock().unwrap().push(number);
            fails != Some(number)
        });
        order.into_inner().unwrap()
    }

    #[test]
    fn one_job_goes_in_order() {
        let waits = [vec![], vec![0], vec![], vec![1, 2]];
        assert_eq!(order_of(1, &waits, None), [0, 1, 2, 3]);
        assert_eq!(order_of(1, &waits, Some(1)), [0, 1]);
        assert_eq!(order_of(1, &[], None), Vec::<usize>::new());
    }

    #[test]
    fn each_comes_after_those_it_waits_for() {
        let waits = [vec![], vec![0], vec![], vec![2], vec![1, 3], vec![]];
        for _ in 0..200 {
            let order = order_of(3, &waits, None);
            let place = |number: usize| order.iter().position(|other| *other == number).unwrap();
            for (number, waits) in waits.iter().enumerate() {
                assert!(
                    waits.iter().all(|other| place(*other) < place(number)),
                    "{order:?}"
                );
            }
        }
    }

    #[test]
    fn two_that_do_not_wait_are_done_at_once() {
        // each of them ends only when the other one has begun
        let both = Barrier::new(2);
        run(2, &[vec![], vec![]], &|_| {
            both.wait();
            true
        });
    }

    #[test]
    fn a_chain_needs_one_thread() {
        let threads = Mutex::new(HashSet::new());
        run(8, &[vec![], vec![0], vec![1, 0]], &|_| {
            threads.lock().unwrap().insert(std::thread::current().id());
            true
        });
        let threads = threads.into_inner().unwrap();
        assert_eq!(threads.len(), 1);
        assert!(!threads.contains(&std::thread::current().id()));
        assert_eq!(width(&[vec![], vec![0], vec![1]]), 1);
        assert_eq!(width(&[vec![], vec![0], vec![0]]), 3);
    }
}
