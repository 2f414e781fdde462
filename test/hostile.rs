//! Attempts to get out of a box, to harm the machine from within, or to make us do so: each is refused or contained, the host
//! stays as it was, and what is said is clear. `docs/security.md` says which test shows what.
//!
//! Each is shown to be one by a control: the same code is seen to succeed in a box that has only the defence less which refused
//! it, by an osbuild that such defences can be taken away from (`fault::lifted!`). Where two defences stand one behind the other,
//! the control takes away both, and shows that each alone would have done.

mod attempt;
mod devices;
mod exports;
mod host;
mod manifest;
mod mounts;
mod processes;
mod resources;
mod sources;
mod tree;

use attempt::{Hostile, LIMIT, Prepared, Said};
