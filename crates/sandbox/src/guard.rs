//! The parts of the boundary that a machine may be unable to give.

use serde::{Deserialize, Serialize};

use crate::Step;

/// A part of the boundary. A box that cannot have one is not made, unless the part [may be missing](Guards::optional).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// The filter of system calls.
    Seccomp,
    /// Limits of memory, processes and CPU time that were asked for.
    Limits,
    /// A `/proc` of the box's own, with the switches of the kernel out of reach.
    Proc,
    /// The user namespace, in which root is nobody outside.
    Users,
}

/// What a plan says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// Those that may be missing.
    pub optional: Vec<Guard>,
    /// How many processes and threads root of the box's user namespace may have, by a resource limit: where no control
    /// group counts them.
    pub processes: Option<u64>,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Seccomp, Self::Limits, Self::Proc, Self::Users];

    /// Its name on the command line and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Limits => "limits",
            Self::Proc => "proc",
            Self::Users => "users",
        }
    }

    /// The part that a step of the set-up belongs to.
    pub(crate) fn of(step: &Step<'_>) -> Option<Self> {
        match step {
            Step::Filter { .. } => Some(Self::Seccomp),
            Step::Limit { .. } => Some(Self::Limits),
            Step::Proc { .. } | Step::Sys { .. } | Step::Protect { .. } | Step::Mask { .. } => {
                Some(Self::Proc)
            }
            _ => None,
        }
    }

    /// What to do against its lack, behind why it cannot be had.
    pub(crate) fn advice(self, cause: &std::io::Error) -> &'static str {
        match (self, cause.raw_os_error()) {
            (Self::Proc, Some(libc::EPERM)) => {
                "; parts of /proc and /sys are masked in the container around this: start it with `--security-opt \
                 unmask=ALL` (podman) or `--security-opt systempaths=unconfined` (docker)"
            }
            (Self::Users, Some(libc::ENOSPC)) => {
                "; user.max_user_namespaces is too small: as root, `sysctl user.max_user_namespaces=10000`"
            }
            _ => "",
        }
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Guards {
    /// Those that may be missing, as a set that needs no memory.
    pub(crate) fn optional_bits(&self) -> u8 {
        self.optional.iter().fold(0, |bits, guard| bits | guard.bit())
    }
}

/// Whether a step may fail, by [`Guards::optional_bits`].
pub(crate) fn may_fail(step: &Step<'_>, bits: u8) -> bool {
    Guard::of(step).is_some_and(|guard| bits & guard.bit() != 0)
}

impl std::fmt::Display for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Guard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|guard| guard.name() == text);
        known.ok_or_else(|| format!("it must be one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
