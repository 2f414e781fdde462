//! What the boxes of a build may take of the machine, and which parts of the boundary they had to do without.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use sandbox::{Group, Guard, Guards, Hits, Limits, Root, UserNamespace};

use crate::Result;
use crate::report::{How, KeptLimits};

/// What is asked of the boundary around the boxes.
#[derive(Debug, Clone, Default)]
pub struct Boundary {
    /// For all boxes of the build together.
    pub limits: Limits,
    /// The parts that may be missing.
    pub optional: Vec<Guard>,
}

/// How many processes a build may have where nobody asked for a limit: far more than any needs, far fewer than a
/// machine has.
const PROCESSES: u64 = 32_768;

/// The part of the machine's memory that a build may have where nobody asked for a limit, in percent.
const MEMORY_PERCENT: u64 = 95;

/// The boundary of one build. Its limits are set when the first box is made: a build that the store has makes none.
pub(crate) struct Bounds<'a> {
    asked: &'a Boundary,
    kept: OnceLock<Kept>,
    /// Held while the limits or the users are set: by one thread, as there is one group.
    setting: Mutex<()>,
    missing: Mutex<BTreeSet<Guard>>,
    /// Made for the first box: a build that the store has needs none.
    users: OnceLock<UserNamespace>,
}

struct Kept {
    /// `None`: the resource limit of each box's user counts its processes.
    group: Option<Group>,
    limits: Limits,
}

impl<'a> Bounds<'a> {
    pub(crate) fn new(asked: &'a Boundary) -> Self {
        Self {
            asked,
            kept: OnceLock::new(),
            setting: Mutex::default(),
            missing: Mutex::default(),
            users: OnceLock::new(),
        }
    }

    /// The user namespace of the boxes, or, where it may be missing, the host's.
    pub(crate) fn users(&self) -> Result<&UserNamespace> {
        if let Some(users) = self.users.get() {
            return Ok(users);
        }
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(users) = self.users.get() {
            return Ok(users);
        }
        let users = match UserNamespace::new() {
            Err(_) if self.may_lack(Guard::Users) => {
                self.note(&[Guard::Users]);
                UserNamespace::of_host()
            }
            other => other?,
        };
        Ok(self.users.get_or_init(|| users))
    }

    /// Who root of the boxes is outside of them.
    pub(crate) fn root(&self) -> Option<Root> {
        self.users.get().map(UserNamespace::root)
    }

    /// What the plan of a box says of its guards.
    pub(crate) fn guards(&self) -> Result<Guards> {
        let kept = self.kept()?;
        Ok(Guards {
            optional: self.asked.optional.clone(),
            processes: kept.limits.processes.filter(|_| kept.group.is_none()),
        })
    }

    /// The control group that boxes are to be in, if there is one.
    pub(crate) fn group(&self) -> Result<Option<&Group>> {
        Ok(self.kept()?.group.as_ref())
    }

    /// How often limits were met so far.
    pub(crate) fn hits(&self) -> Hits {
        let group = self.kept.get().and_then(|kept| kept.group.as_ref());
        group.map(Group::hits).unwrap_or_default()
    }

    /// How a box ended over a limit, for all that it said of itself: whatever was killed for want of memory is missing in
    /// what it made. `before` is what [`hits`](Self::hits) said when it began.
    pub(crate) fn exceeded(&self, before: Hits, failed: bool) -> Option<How> {
        let (now, limits) = (self.hits(), self.kept.get()?.limits);
        if now.memory > before.memory {
            let limit = limits.memory.unwrap_or_default();
            return Some(How::Other(format!(
                "over the memory limit of {} (`--memory-limit`)",
                size(limit)
            )));
        }
        let limit = limits
            .processes
            .filter(|_| failed && now.processes > before.processes)?;
        Some(How::Other(format!(
            "over the limit of {limit} processes (`--pids-limit`)"
        )))
    }

    /// Whether somebody asked for limits.
    pub(crate) fn are_asked_for(&self) -> bool {
        self.asked.limits != Limits::default()
    }

    /// Remembers parts that a box did without.
    pub(crate) fn note(&self, missing: &[Guard]) {
        let mut all = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(missing);
    }

    pub(crate) fn missing(&self) -> Vec<Guard> {
        let all = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().copied().collect()
    }

    /// The limits that hold, if any box was made.
    pub(crate) fn report(&self) -> Option<KeptLimits> {
        let kept = self.kept.get()?;
        Some(KeptLimits {
            group: kept.group.is_some(),
            limits: kept.limits,
        })
    }

    fn may_lack(&self, guard: Guard) -> bool {
        self.asked.optional.contains(&guard)
    }

    fn kept(&self) -> Result<&Kept> {
        if let Some(kept) = self.kept.get() {
            return Ok(kept);
        }
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.kept.get() {
            return Ok(kept);
        }
        let kept = self.settle()?;
        Ok(self.kept.get_or_init(|| kept))
    }

    /// All limits by a control group, else those that were asked for by one, else, unless any was asked for, the
    /// resource limit.
    fn settle(&self) -> Result<Kept> {
        let asked = self.asked.limits;
        let all = with_defaults(asked);
        let by = |limits: Limits| {
            Group::new(&limits).map(|group| Kept {
                group: Some(group),
                limits,
            })
        };
        let without = Kept {
            group: None,
            limits: Limits {
                processes: all.processes,
                ..Limits::default()
            },
        };
        match by(all) {
            Ok(kept) => Ok(kept),
            Err(_) if asked == Limits::default() => Ok(without),
            Err(_) => match by(asked) {
                Err(_) if self.may_lack(Guard::Limits) => {
                    self.note(&[Guard::Limits]);
                    Ok(without)
                }
                other => Ok(other?),
            },
        }
    }
}

fn with_defaults(asked: Limits) -> Limits {
    Limits {
        memory: asked.memory.or_else(|| Some(memory()? / 100 * MEMORY_PERCENT)),
        processes: asked.processes.or(Some(PROCESSES)),
        cpus: asked.cpus,
    }
}

/// The machine's memory in bytes, from `/proc/meminfo`.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

fn size(bytes: u64) -> String {
    match bytes % (1 << 20) {
        0 => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_wins_over_the_defaults() {
        let asked = Limits {
            processes: Some(7),
            ..Limits::default()
        };
        let all = with_defaults(asked);
        assert_eq!((all.processes, all.cpus), (Some(7), None));
        assert!(all.memory.is_some_and(|bytes| bytes > 1 << 20));
    }
}
