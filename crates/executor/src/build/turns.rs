//! Pipelines run side by side, and are told of one after the other.
//!
//! What a [`Monitor`] is told forms lanes: one for each source, then one for each pipeline. The first lane that is not done
//! is told as it happens. What happens in later ones is kept until it is their turn, so that who follows a build sees the
//! same events in the same order, whatever ran at once. A monitor that can show several at a time
//! ([`Monitor::takes_turns`] is false) is told of everything at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use manifest::Stage;

use crate::{Cancel, Monitor};

/// A lane that has so many bytes of output waiting for its turn waits itself.
const ROOM: usize = 32 << 20;

/// How often a lane that waits looks whether the build goes on.
const TICK: Duration = Duration::from_millis(50);

/// Something to be told.
type Event<'a> = Box<dyn FnOnce(&dyn Monitor) + Send + 'a>;

/// All lanes.
pub(super) struct Turns<'a> {
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    /// Whether everybody is told at once.
    at_once: bool,
    state: Mutex<State<'a>>,
    moved: Condvar,
}

struct State<'a> {
    /// The lane whose turn it is.
    turn: usize,
    /// The last one that is told of.
    last: usize,
    lanes: Vec<Waiting<'a>>,
}

#[derive(Default)]
struct Waiting<'a> {
    events: Vec<Event<'a>>,
    /// Of output.
    bytes: usize,
    done: bool,
}

/// One lane, done when it is dropped.
pub(super) struct Lane<'t, 'a> {
    turns: &'t Turns<'a>,
    number: usize,
}

impl<'a> Turns<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor, cancel: &'a Cancel, lanes: usize) -> Self {
        Self {
            monitor,
            cancel,
            at_once: !monitor.takes_turns(),
            state: Mutex::new(State {
                turn: 0,
                last: usize::MAX,
                lanes: (0..lanes).map(|_| Waiting::default()).collect(),
            }),
            moved: Condvar::new(),
        }
    }

    /// A lane by its number, from 0.
    pub(super) fn lane(&self, number: usize) -> Lane<'_, 'a> {
        Lane { turns: self, number }
    }

    /// Tells what still waits behind lanes that were never begun: nothing runs any more.
    pub(super) fn flush(&self) {
        let mut state = self.state();
        let lanes = state.last.saturating_add(1);
        for lane in state.lanes.iter_mut().take(lanes) {
            lane.events.drain(..).for_each(|event| event(self.monitor));
        }
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Lane<'_, 'a> {
    /// Tells the monitor, now or when it is this lane's turn.
    pub(super) fn tell(&self, event: impl FnOnce(&dyn Monitor) + Send + 'a) {
        self.tell_sized(0, event);
    }

    /// A piece of what a stage prints.
    pub(super) fn output(&self, stage: &'a Stage, text: &str) {
        let text = text.to_owned();
        self.tell_sized(text.len(), move |monitor| monitor.stage_output(stage, &text));
    }

    /// Nothing more is told of the lanes behind this one, which would not have been begun if all came in order.
    pub(super) fn close(&self) {
        let mut state = self.turns.state();
        state.last = state.last.min(self.number);
    }

    /// What a host service prints.
    pub(super) fn service(&self, text: &str) {
        let text = text.to_owned();
        self.tell_sized(text.len(), move |monitor| monitor.service_output(&text));
    }

    fn tell_sized(&self, bytes: usize, event: impl FnOnce(&dyn Monitor) + Send + 'a) {
        if let Some(mut state) = self.wait_for_room() {
            let lane = &mut state.lanes[self.number];
            lane.bytes += bytes;
            lane.events.push(Box::new(event));
        } else {
            event(self.turns.monitor);
        }
    }

    /// The state, once there is room in this lane; `None`: it is its turn.
    fn wait_for_room(&self) -> Option<MutexGuard<'_, State<'a>>> {
        if self.turns.at_once {
            return None;
        }
        let mut state = self.turns.state();
        loop {
            if state.turn >= self.number && self.number <= state.last {
                return None;
            }
            // the lanes before this one do not wait for it, so its turn comes
            if state.lanes[self.number].bytes < ROOM || self.turns.cancel.is_cancelled() {
                return Some(state);
            }
            let waited = self.turns.moved.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Lane<'_, '_> {
    fn drop(&mut self) {
        let turns = self.turns;
        let mut state = turns.state();
        let state = &mut *state;
        state.lanes[self.number].done = true;
        while state.lanes.get(state.turn).is_some_and(|lane| lane.done) {
            state.turn += 1;
            let next = state
                .lanes
                .get_mut(state.turn)
                .filter(|_| state.turn <= state.last);
            let events = next
                .map(|lane| std::mem::take(&mut lane.events))
                .unwrap_or_default();
            events.into_iter().for_each(|event| event(turns.monitor));
        }
        turns.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told {
        lines: Mutex<Vec<String>>,
        at_once: bool,
    }

    impl Monitor for Told {
        fn takes_turns(&self) -> bool {
            !self.at_once
        }

        fn service_output(&self, text: &str) {
            self.lines.lock().unwrap().push(text.to_owned());
        }
    }

    fn told(at_once: bool) -> Vec<String> {
        let monitor = Told {
            at_once,
            ..Told::default()
        };
        let cancel = Cancel::default();
        let turns = Turns::new(&monitor, &cancel, 4);
        let lanes: Vec<Lane<'_, '_>> = (0..3).map(|number| turns.lane(number)).collect();
        for round in ["a", "b"] {
            for lane in lanes.iter().rev() {
                lane.service(&format!("{}{round}", lane.number));
            }
        }
        let [first, second, third] = lanes.try_into().unwrap_or_else(|_| panic!("three"));
        drop(second);
        drop(first);
        third.service("2c");
        drop(third);
        let after = turns.lane(3);
        after.service("3a");
        drop(after);
        monitor.lines.lock().unwrap().clone()
    }

    #[test]
    fn one_lane_is_told_after_the_other() {
        assert_eq!(told(false), ["0a", "0b", "1a", "1b", "2a", "2b", "2c", "3a"]);
        assert_eq!(told(true), ["2a", "1a", "0a", "2b", "1b", "0b", "2c", "3a"]);
    }

    #[test]
    fn what_waits_for_a_lane_that_never_began_is_told_at_the_end() {
        let monitor = Told::default();
        let cancel = Cancel::default();
        let turns = Turns::new(&monitor, &cancel, 3);
        for number in [1, 2] {
            turns.lane(number).service(&number.to_string());
        }
        assert!(monitor.lines.lock().unwrap().is_empty());
        turns.flush();
        assert_eq!(*monitor.lines.lock().unwrap(), ["1", "2"]);
    }

    #[test]
    fn nothing_is_told_of_what_is_behind_the_last_one() {
        let monitor = Told::default();
        let cancel = Cancel::default();
        let turns = Turns::new(&monitor, &cancel, 3);
        let lanes: Vec<Lane<'_, '_>> = (0..3).map(|number| turns.lane(number)).collect();
        for lane in &lanes {
            lane.service(&lane.number.to_string());
        }
        lanes[1].close();
        for lane in lanes {
            drop(lane);
        }
        turns.lane(2).service("late");
        turns.flush();
        assert_eq!(*monitor.lines.lock().unwrap(), ["0", "1"]);
    }

    #[test]
    fn a_lane_waits_when_it_has_too_much() {
        let monitor = Told::default();
        let cancel = Cancel::default();
        let turns = Turns::new(&monitor, &cancel, 2);
        let first = turns.lane(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let second = turns.lane(1);
                second.service(&"x".repeat(ROOM));
                second.service("more");
            });
            while turns.state().lanes[1].bytes == 0 {
                std::thread::yield_now();
            }
            assert!(monitor.lines.lock().unwrap().is_empty());
            drop(first);
        });
        assert_eq!(monitor.lines.lock().unwrap().len(), 2);
    }
}
