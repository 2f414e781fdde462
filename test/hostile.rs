//! Attempts to get out of a box, to harm the machine from within, or to make us do so: each is refused or contained, the host
//! stays as it was, and what is said is clear. `docs/security.md` says which test shows what.
//!
//! Each is shown to be one by a control: the same code on harmless targets, without the defence, is seen to succeed.

mod attempt;
mod devices;
mod host;
mod manifest;
mod mounts;
mod processes;
mod tree;

use attempt::{Hostile, Said};
