//! The box a module runs in: namespaces, mounts, ids, capabilities and a first process.
//!
//! What the box looks like is data, a [`Plan`]. [`steps`] turns it into a flat list of system calls, and the child
//! process carries that list out without allocating; a step that fails is reported by its number and becomes one
//! clear error.
//!
//! ```text
//! executor ── clone(mnt, pid, ipc, uts, net) ── first process (pid 1)
//!                 builds what is common to boxes, and waits to be told what this one is for: it may have been begun
//!                 while the stage before was still running
//!                 builds the rest of the root, pivots into it, enters the user namespace, drops capabilities,
//!                 has its system calls filtered
//!                 └── fork, exec: the module (pid 2)      pid 1 reaps, and reports how pid 2 ended
//! ```
//!
//! Everything in the box dies with pid 1, and pid 1 dies with the thread that started it.

mod apply;
mod attach;
mod begun;
mod capabilities;
mod cgroup;
mod child;
mod error;
mod guard;
mod ids;
mod lifted;
mod loop_device;
mod message;
mod nursery;
pub mod overlay;
mod plan;
mod rootless;
mod run;
mod seccomp;
mod steps;
mod sub_ids;
mod sys;
mod text;

pub use caps::Capability;

pub use attach::{
    as_root, attach, attach_clone, attach_part, attach_tree, capability, clone_source, detach,
    own_mount_table,
};
pub use cgroup::{Group, Hits, Limits};
pub use error::{Error, Result};
pub use guard::{Guard, Guards};
pub use ids::{Root, UserNamespace};
pub use loop_device::{LoopDevice, LoopOptions};
pub use nursery::Nursery;
pub use plan::{Command, DEFAULT_CAPABILITIES, Idmap, Layers, Mount, Part, Plan, Source};
pub use rootless::{as_caller, enter, is_for_caller, is_in_first_namespace};
pub use run::{Ended, Killer, Running, start, start_from, start_in};
pub use steps::{Step, Steps, steps};
pub use text::{Bytes, Text};
