//! Durability: objects are published at once, and marked until they are known to be on disk.

use std::fs::File;
use std::path::Path;
use std::sync::PoisonError;

use crate::info::{Info, boot_id};
use crate::store::{Store, write_draft, write_durably};

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
            if fault::step!(rustix::fs::syncfs(&dir)).is_err() {
                return;
            }
            // while this is held and true the desk is there
            let if_open = || Some(open.lock().unwrap_or_else(PoisonError::into_inner)).filter(|open| **open);
            let mut drafts = Vec::new();
            for (name, info) in marked {
                let Some(_open) = if_open() else { return };
                let path = objects.join(name).join("info");
                if let Ok(draft) = write_draft(&desk, &path, &info.unmarked().to_bytes()) {
                    drafts.push((draft, path));
                }
            }
            // what replaces a good file has to be whole after a power cut: once for all of them
            if fault::step!(rustix::fs::syncfs(&dir)).is_err() {
                return;
            }
            for (draft, path) in drafts {
                let Some(_open) = if_open() else { return };
                // a mark that stays only costs a verification
                let _ = fault::step!(std::fs::rename(draft, path));
            }
        });
    }

    /// Takes the mark from an object that was verified.
    pub(crate) fn mark_durable(&self, object: &Path, info: Info) {
        if let Ok(desk) = self.desk() {
            // a mark that stays only costs a verification
            let _ = write_durably(desk, &object.join("info"), &info.unmarked().to_bytes());
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
