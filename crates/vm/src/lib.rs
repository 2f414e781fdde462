//! A virtual machine that sees directories of the host at their own paths.
//!
//! ```text
//! host ── keeper: a thread with a mount table of its own
//!     │      share/   a memory file system; in it the store and what else is shared, at the host's paths
//!     │      ├── virtiofsd: serves share/
//!     │      └── QEMU: the kernel of a tree, an initrd made for it
//!     └── channel (virtio-serial): messages of bytes, see [`message`]
//!
//! guest ── /init: this very executable, as [`guest`]: loads the modules, makes share/ its root, opens the channel
//! ```
//!
//! Whatever the guest writes below a shared directory is written on the host by virtiofsd, as root, with the owners,
//! modes, attributes and device numbers that the guest gives it. The machine dies with its keeper, and that with the
//! [`Machine`]; QEMU and virtiofsd are killed should the process die.

mod archive;
mod error;
pub mod guest;
mod initrd;
mod keeper;
mod kernel;
mod machine;
pub mod message;
mod process;
mod qemu;
mod share;
mod words;

pub use error::{Error, Result};
pub use initrd::Agent;
pub use machine::{Description, Machine};
pub use qemu::Processor;
