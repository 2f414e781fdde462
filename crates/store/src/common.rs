//! What is the same for all boxes of a run, made once.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::Error;
use crate::store::Store;

impl Store {
    /// A directory that is there while the store is open, the same one each time. `fill` makes what is in it, before
    /// anybody gets it.
    ///
    /// # Errors
    /// It cannot be made, or filled: then the next one tries again.
    pub fn common<E: From<Error>>(&self, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, E> {
        // held while it is filled: who wants it too waits
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = &*common {
            return Ok(there.path().to_owned());
        }
        let new = self.scratch("common")?;
        fill(new.path())?;
        Ok(common.insert(new).path().to_owned())
    }
}
