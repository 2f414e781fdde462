//! Archives and compressed files, natively.
//!
//! * [`compress`]: a stream into a file; [`decompress`]: a file of any compression, told by its first bytes.
//! * [`tar`]: trees into archives of every format of GNU tar, and archives read again.
//! * [`extract`]: an archive from strangers into a tree, which it cannot leave.
//! * [`cpio`], [`zip`]: trees into these; [`oci`]: layers into container images.
//!
//! Nothing here reads the clock or depends on the number of threads: the same input gives the same bytes.

pub mod compress;
pub mod cpio;
mod cpio_header;
pub mod decompress;
mod deflate;
mod error;
pub mod extract;
mod gzip;
pub mod oci;
mod output;
pub mod tar;
pub mod time;
pub mod zip;
mod zip_records;

pub use error::{Error, Result};

/// The digest of this crate's sources, for `libraries` of the modules that use it.
pub const SOURCE_DIGEST: &str = env!("SOURCE_DIGEST");
