//! A store under fault: every step made to fail, builders killed, many of them at once, the power cut.
//!
//! * [`steps`]: the n-th step fails, for n = 1, 2, 3 … until a run ends untouched
//! * [`kills`]: builders are killed at random moments
//! * [`builders`]: many on one store, some of them killed, some that evict
//! * [`power`]: the file system under the store goes down at random moments
//!
//! After each fault a [`Scene`] checks that the store is none the worse for it. All of them panic with what went wrong.

pub mod builders;
pub mod kills;
mod odds;
pub mod power;
mod scene;
mod sources;
pub mod steps;

pub use odds::Odds;
pub use scene::{Left, Scene};

/// What was survived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps that failed, by kind of fault.
    pub steps: std::collections::BTreeMap<&'static str, usize>,
    /// Builders killed from outside.
    pub kills: usize,
    /// Builders that shared a store, and the most at once.
    pub builders: usize,
    pub at_once: usize,
    pub power_cuts: usize,
    /// Trees that were there when the power went, and not, or not whole, when it came back.
    pub lost: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: usize = self.steps.values().sum();
        write!(f, "{faults} faults")?;
        for (at, (kind, count)) in self.steps.iter().enumerate() {
            write!(f, "{}{kind} {count}", if at == 0 { " (" } else { ", " })?;
        }
        let closing = if self.steps.is_empty() { "" } else { ")" };
        write!(
            f,
            "{closing}, {} kills, {} builders (up to {} at once), {} power cuts ({} trees lost or damaged by them, and built again)",
            self.kills, self.builders, self.at_once, self.power_cuts, self.lost
        )
    }
}
