//! tar: trees into archives, and archives read again.

mod attributes;
mod bre;
mod header;
mod pax;
mod reader;
mod sparse;
mod transform;
mod writer;

pub use attributes::Selection;
pub(crate) use header::{BLOCK, Member};
pub use header::{Format, Kind};
pub use reader::{Entry, Reader};
pub use transform::Transform;
pub use writer::{Archive, Options};
