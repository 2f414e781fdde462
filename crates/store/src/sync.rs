//! Durability: objects are published at once, and marked until they are known to be on disk.

use std::fs::File;
use std::path::Path;
use std::sync::PoisonError;

use crate::info::{Info, boot_id};
use crate::store::{Store, write_whole};

impl Store {
    /// Has all that was committed written to disk, without waiting for it, and evicts what is too much.
    ///
    /// Until it is done, objects carry the id of this boot: should the machine stop before, they are verified before
    /// they are used. Nothing of this can fail a build.
    pub fn sync(&self) {
        let _ = self.evict();
        let objects = self.objects();
        let Ok(desk) = self.desk().map(Path::to_owned) else {
            return;
        };
        let open = self.open.clone();
        // nobody waits for the thread: when the store is closed before it is done, the marks stay
        let _ = std::thread::Builder::new().name("sync".into()).spawn(move || {
            let marked = marked(&objects);
            let Ok(dir) = File::open(&objects) else { return };
            if fault::step!(rustix::fs::syncfs(&dir)).is_ok() {
                for (name, info) in marked {
                    // while this is held the desk is there
                    let open = open.lock().unwrap_or_else(PoisonError::into_inner);
                    if !*open {
                        return;
                    }
                    clear_mark(&desk, &objects.join(name), info);
                }
            }
        });
    }

    /// Takes the mark from an object that was verified.
    pub(crate) fn mark_durable(&self, object: &Path, info: Info) {
        if let Ok(desk) = self.desk() {
            clear_mark(desk, object, info);
        }
    }
}

/// The objects of this boot that carry a mark.
fn marked(objects: &Path) -> Vec<(std::ffi::OsString, Info)> {
    let boot = boot_id();
    let Ok(list) = std::fs::read_dir(objects) else {
        return Vec::new();
    };
    list.flatten()
        .filter_map(|entry| Some((entry.file_name(), Info::read(&entry.path())?)))
        .filter(|(_, info)| info.boot.as_ref() == Some(&boot))
        .collect()
}

/// A mark that stays only costs a verification.
fn clear_mark(desk: &Path, object: &Path, mut info: Info) {
    info.boot = None;
    let _ = write_whole(desk, &object.join("info"), &info.to_bytes());
}
