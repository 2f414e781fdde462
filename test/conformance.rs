//! What was recorded of the Python osbuild is what we do, or `docs/compatibility.md` says why not.
//!
//! The recordings lie beside the repository; without them this says so and passes. What needs a module that is not ours
//! is passed over, by name. With a checkout of the Python osbuild in `PEER_OSBUILD` all is done a second time, or for the
//! first, with its modules.

pub mod archive;
mod builds;
mod cli;
mod exported;
mod ids;
mod image;
pub mod recordings;
mod validation;
