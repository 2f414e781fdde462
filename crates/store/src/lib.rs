//! The store: trees by their content, and which stage made them.
//!
//! ```text
//! <store>/
//!   objects/<tree digest>/    immutable; moved here whole, by one rename
//!     layer/                  the tree's difference to its parent, as overlayfs writes it
//!     parent                  the digest of the object below; not there: `layer` is the whole tree
//!     index                   all entries of the whole tree, see `tree::index`
//!     info                    JSON: size on disk, kind of overlay marks, boot id while not known to be on disk
//!     lock                    shared by those who use the object; its mtime is the last use
//!   refs/<stage id>           link to ../objects/<tree digest>
//!   refs/<stage id>.json      what the stage saw, its metadata, log and times
//!   sources/org.osbuild.files/<algorithm>:<digest>
//!   logs/<stage id>.log
//!   tmp/new-*                 being built, locked meanwhile; unlocked ones are collected
//!   tmp/lock-<stage id>       a stage that is being built
//!   damaged/                  what `check` found damaged and `repair` moved away; made when needed
//!   modules                   what the executor's modules said of themselves: a note for its next run
//!   limit                     the size, in bytes, that was set when the store was made
//!   cache.info cache.lock CACHEDIR.TAG    as the Python osbuild has them
//! ```
//!
//! On a file system that carries no layers ([`Driver::Copies`]) every object is a whole tree; both kinds may stand in one
//! store.
//!
//! What the Python osbuild keeps in the same directory stays as it is: its objects have no `index`, its scratch in `tmp/`
//! has other names, and while a [`Store`] lives it holds the read lock on `cache.lock`.
//!
//! What holds at any moment, whoever is killed: an object is whole or absent; a reference names an object and says what
//! was seen, or is no reference; the chain of layers below an object is there, since only objects without one above are
//! evicted.

mod away;
mod broom;
mod chain;
mod commit;
mod common;
mod copied;
mod download;
mod driver;
mod error;
mod evict;
mod find;
mod fsck;
mod gc;
mod info;
mod limit;
mod list;
mod lock;
mod object;
mod own;
mod quarantine;
mod record;
mod remove;
mod scratch;
mod spare;
mod store;
mod sync;
mod usage;

pub use commit::NewTree;
pub use driver::Driver;
pub use error::{Error, Result};
pub use evict::Evicted;
pub use find::Match;
pub use fsck::{Check, Damage, Damaged};
pub use gc::{Garbage, GarbageKind, LOGS};
pub use list::Stored;
pub use lock::StageLock;
pub use object::Object;
pub use own::abandon;
pub use quarantine::Repair;
pub use record::Record;
pub use remove::Removed;
pub use scratch::Scratch;
pub use spare::Place;
pub use store::Store;
pub use tree::index::{Change, Entry, Index, Times, TreeDigest, What};
pub use usage::{TreeUsage, Usage};

#[cfg(test)]
mod tests;
