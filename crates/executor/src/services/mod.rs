//! The host's half of the Python osbuild's module protocol, for modules of a library directory.
//!
//! ```text
//! executor ── socket pair ── input, device, mount and source services: processes on the host (host.rs, service.rs)
//!     │                          └── store API, for inputs (store_api.rs)
//!     └── sockets in the box ── exceptions, loop devices (sandbox_api.rs)
//! ```
//!
//! All of it is served by the thread that runs the stage, in one poll loop. That thread has a mount table of its own, which
//! the services inherit: what they mount is seen by nobody else, and is gone with the last of them, however it ends.

mod bench;
mod host;
mod message;
mod mountinfo;
mod packet;
pub(crate) mod python;
mod sandbox_api;
mod server;
mod service;
mod socket_dir;
pub(crate) mod source;
mod stage;
mod store_api;
mod write_back;

pub(crate) use host::Beside;
pub(crate) use sandbox_api::SandboxApi;
pub use service::{abandon, any_runs};
pub(crate) use stage::{Around, Modules, Served};
