//! What the promises and `cargo xtask` share: the executables, a place to run them in, oracles, a machine to boot.
//!
//! * [`Binaries`]: builds osbuild, image-builder and the static modules, and says where they are
//! * [`TestEnv`]: a fresh store and output directory; runs the commands; at its end nothing may be left behind
//! * [`oracle`]: what other tools say of a result
//! * [`qemu`]: boots an image and talks to it over the serial console
//! * [`Httpd`]: a web server that also misbehaves

mod binaries;
mod env;
mod httpd;
mod left_behind;
pub mod oracle;
pub mod qemu;
mod run;

pub use binaries::{Binaries, Profile, is_static, repository};
pub use env::TestEnv;
pub use httpd::{Httpd, Reply};
pub use left_behind::left_behind;
pub use run::{Run, run};
