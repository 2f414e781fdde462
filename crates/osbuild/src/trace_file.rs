//! `--trace FILE`: what the crate `trace` gathers, written whatever the end of the build is.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::print;

static FILE: Mutex<Option<(PathBuf, File)>> = Mutex::new(None);

/// Begins to trace. The file is made at once, so that a name that cannot be written is told before anything is built.
///
/// # Errors
/// It cannot be made: the message.
pub(crate) fn begin(path: &Path) -> Result<(), String> {
    let file = executor::as_caller(|| File::create(path));
    let file = file.map_err(|e| format!("cannot write the trace {}: {e}", path.display()))?;
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some((path.to_owned(), file));
    trace::begin();
    trace::track("osbuild");
    Ok(())
}

/// Writes the file, if one is to be written and was not yet.
pub(crate) fn finish() {
    // held until all is written: whoever comes second is about to end the process
    let mut held = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, mut file)) = held.take()
        && let Err(e) = file.write_all(trace::end().as_bytes())
    {
        print::error(&format!("cannot write the trace {}: {e}", path.display()), None);
    }
}
