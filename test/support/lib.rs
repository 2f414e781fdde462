//! What the promises and `cargo xtask` share: the executables, a place to run them in, oracles, a machine to boot.
//!
//! * [`Binaries`]: builds osbuild, image-builder and the static modules, and says where they are
//! * [`TestEnv`]: a fresh store and output directory; runs the commands; at its end nothing may be left behind
//! * [`oracle`]: what other tools say of a result
//! * [`qemu`]: boots an image and talks to it over the serial console
//! * [`Httpd`]: a web server that also misbehaves
//! * [`manifests`]: small manifests, and modules in shell
//! * [`listing`]: everything that is to be said of a directory tree
//! * [`SmallDisk`]: a file system to fill up
//! * [`Ordinary`], [`Container`]: a user who is not root, a container that is nobody's
//! * [`need`]: what a promise needs of the machine
//! * [`torture`]: what a store must survive

mod binaries;
mod env;
mod failing;
mod httpd;
mod left_behind;
pub mod listing;
pub mod manifests;
pub mod need;
pub mod oci;
pub mod oracle;
pub mod ordinary;
pub mod qemu;
mod run;
mod small_disk;
mod told;
pub mod torture;

pub use binaries::{Binaries, Profile, is_static, repository};
pub use env::TestEnv;
pub use httpd::{Httpd, Reply};
pub use left_behind::left_behind;
pub use ordinary::{Container, Ordinary};
pub use run::{Run, ends_within, run};
pub use small_disk::SmallDisk;
