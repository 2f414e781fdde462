//! What our modules said of themselves, noted down in the store: the next run need not start a process to hear it again.
//!
//! ```text
//! <store>/modules     osbuild-modules 1 DEVICE INODE SIZE MTIME CTIME     the executable that said so
//!                     HASH NAME [[FOLDER, METADATA], ...]                 a line each; none of a name that is no module's
//! ```
//! What a module may do in its box is in there: a note counts only where nobody else could have written it, and only for
//! the very file it was taken from. A line that is damaged is none.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use manifest::ModuleKind;
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Its name in a store.
pub(super) const NAME: &str = "modules";

/// A larger one is begun anew.
const MOST: usize = 1 << 20;

/// The metadata of a module, and its folder: a stage and an assembler may share a name.
pub(super) type Metas = Vec<(&'static str, Value)>;

/// A note that is known to be of the executable we have.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// The lines by name, as they are.
    lines: BTreeMap<String, String>,
}

impl Note {
    /// The one in the directory `store` of the executable that [`identity`] tells of; an empty one where there is none, or
    /// none that may be believed.
    pub(super) fn read(store: &Path, identity: &str) -> Self {
        let text = read_own(&store.join(NAME)).unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() != Some(identity) {
            return Self::default();
        }
        let named = |line: &str| Some((line.split(' ').nth(1)?.to_owned(), line.to_owned()));
        Self {
            lines: lines.filter_map(named).collect(),
        }
    }

    /// What it says of the modules called `name`; `None`: nothing.
    pub(super) fn get(&self, name: &str) -> Option<Metas> {
        let (hash, rest) = self.lines.get(name)?.split_once(' ')?;
        if hash != hash_of(rest) {
            return None;
        }
        let list: Vec<(String, Value)> = serde_json::from_str(rest.split_once(' ')?.1).ok()?;
        let kind = |(folder, meta): (String, Value)| {
            let kinds = [ModuleKind::Stage, ModuleKind::Assembler];
            let known = kinds.into_iter().find(|kind| kind.folder() == folder)?;
            Some((known.folder(), meta))
        };
        list.into_iter().map(kind).collect()
    }

    /// Adds what is said of `name`.
    pub(super) fn put(&mut self, name: &str, metas: &Metas) {
        // values made of text always serialise
        let json = serde_json::to_string(metas).unwrap_or_default();
        let rest = format!("{name} {json}");
        self.lines
            .insert(name.to_owned(), format!("{} {rest}", hash_of(&rest)));
    }

    /// The whole file, of at most [`MOST`] bytes.
    pub(super) fn text(&self, identity: &str) -> Option<String> {
        let mut text = format!("{identity}\n");
        for line in self.lines.values() {
            text += line;
            text.push('\n');
        }
        (text.len() <= MOST).then_some(text)
    }
}

/// Whether a module may have this name, which then can stand in a line.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.chars().all(fits)
}

/// What tells the file `executable` from any other, and from itself before it was written to. `None`: it changed just now,
/// and could change again without anybody seeing it.
pub(super) fn identity(executable: &Path) -> Option<String> {
    let there = executable.metadata().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() as i64;
    (there.ctime().max(there.mtime()) + 2 < now).then(|| {
        format!(
            "osbuild-modules 1 {} {} {} {}.{} {}.{}",
            there.dev(),
            there.ino(),
            there.size(),
            there.mtime(),
            there.mtime_nsec(),
            there.ctime(),
            there.ctime_nsec()
        )
    })
}

/// The text of a file that only we can write.
fn read_own(path: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let there: Metadata = file.metadata().ok()?;
    let ours =
        there.is_file() && there.uid() == rustix::process::geteuid().as_raw() && there.mode() & 0o022 == 0;
    if !ours || there.size() > MOST as u64 {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text)
}

fn hash_of(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_is_believed_for_its_own_executable_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut note = Note::default();
        let metas = vec![("stages", json!({"summary": "a b\nc"}))];
        note.put("org.osbuild.a", &metas);
        note.put("nobody", &Vec::new());
        let path = dir.path().join(NAME);
        std::fs::write(&path, note.text("me").unwrap()).unwrap();
        let read = |identity| Note::read(dir.path(), identity);
        assert_eq!(read("me").get("org.osbuild.a"), Some(metas));
        assert_eq!(read("me").get("nobody"), Some(Vec::new()));
        assert_eq!(read("me").get("other"), None);
        assert_eq!(read("another").get("org.osbuild.a"), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(read("me").get("org.osbuild.a"), None);
    }

    #[test]
    fn a_damaged_line_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut note = Note::default();
        note.put("org.osbuild.a", &vec![("stages", json!({"summary": "a"}))]);
        let text = note.text("me").unwrap().replace("\"a\"", "\"b\"");
        std::fs::write(dir.path().join(NAME), text).unwrap();
        assert_eq!(Note::read(dir.path(), "me").get("org.osbuild.a"), None);
    }

    #[test]
    fn a_file_that_was_just_written_has_no_identity() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(identity(file.path()), None);
        assert!(identity(Path::new("/bin/sh")).is_some());
    }
}
