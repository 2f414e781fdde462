//! Where verified files lie, and how they get there.
//!
//! ```text
//! <store>/sources/org.osbuild.files/
//!   sha256:0123…            a whole file with that digest; it enters by a rename
//!   .partial/sha256:0123…   what has come of it so far, locked by whoever downloads it
//! ```

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::bulk::{self, Bulk};
use crate::digest::{Checksum, Hasher};
use crate::pool::Stop;

/// The content type of every source in this crate: plain files named by their checksum.
const CONTENT_TYPE: &str = "org.osbuild.files";

const PARTIAL: &str = ".partial";

/// So many files are waited for one by one; for more the file system is told to write all it has, whoever it is of.
const FEW: usize = 3;

/// The files of a store's source cache.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    dir: PathBuf,
}

/// A file on its way into the store. Dropped, it stays behind for the next try, unless it is empty.
pub(crate) struct Partial {
    path: PathBuf,
    target: PathBuf,
    file: File,
    checksum: Checksum,
    hasher: Hasher,
    /// Bytes that have come so far.
    len: u64,
    /// What has come of a large file behind its first part.
    bulk: Option<Bulk>,
}

impl Content {
    /// The files below `cache`, the `sources` directory of a store. Nothing is made yet.
    pub(crate) fn new(cache: &Path) -> Self {
        Self {
            dir: cache.join(CONTENT_TYPE),
        }
    }

    /// Whether the file is there. It was verified when it came; an empty one is what a crash leaves.
    pub(crate) fn contains(&self, checksum: &Checksum) -> bool {
        std::fs::symlink_metadata(self.path(checksum))
            .is_ok_and(|st| st.is_file() && (st.len() > 0 || checksum.is_of_nothing()))
    }

    /// The names of all files that may be there, unless they are more than `most`: then each is better asked for.
    pub(crate) fn names(&self, most: usize) -> Option<HashSet<OsString>> {
        let list = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Some(HashSet::new()),
            other => other.ok()?,
        };
        let mut names = HashSet::new();
        for entry in list {
            if names.len() == most {
                return None;
            }
            names.insert(entry.ok()?.file_name());
        }
        Some(names)
    }

    /// Takes up the file, with what an earlier try has left of it. Waits while another process is at it; `None` is
    /// when that one has brought it.
    pub(crate) fn partial(&self, checksum: &Checksum, stop: &Stop) -> Result<Option<Partial>, String> {
        let dir = self.dir.join(PARTIAL);
        let path = dir.join(checksum.to_string());
        let failed = |e: io::Error| format!("cannot open {}: {e}", path.display());
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            options.mode(0o644).custom_flags(OFlags::NOFOLLOW.bits() as i32);
            // most are new
            let made = match fault::step!(options.open(&path)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => None,
                other => Some(other),
            };
            let is_new = made.is_some();
            let file = match made.unwrap_or_else(|| fault::step!(options.create_new(false).open(&path))) {
                // it was another process's, which has just brought it
                Err(e) if e.kind() == io::ErrorKind::NotFound && !is_new => continue,
                // it is the first one, or another process has just cleaned up
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    fault::step!(DirBuilder::new().recursive(true).mode(0o755).create(&dir))
                        .map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
                    continue;
                }
                other => other.map_err(failed)?,
            };
            match fault::step!(flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    stop.pause(Duration::from_millis(100));
                    if stop.is_set() {
                        return Err("interrupted".to_owned());
                    }
                    continue;
                }
                Err(e) => return Err(failed(e.into())),
            }
            // whoever held the lock may have renamed or removed what we opened; of what we have made, renamed is in the store
            let found = match is_new {
                true => file.metadata().ok().filter(|found| found.nlink() > 0),
                false => found_at(&file, &path),
            };
            let Some(found) = found else {
                continue;
            };
            if self.contains(checksum) {
                if lies_at(&file, &path) {
                    std::fs::remove_file(&path).ok();
                }
                return Ok(None);
            }
            let mut partial = Partial {
                target: self.path(checksum),
                file,
                checksum: checksum.clone(),
                hasher: checksum.hasher(),
                len: 0,
                bulk: None,
                path: path.clone(),
            };
            if found.len() > 0 {
                partial.read_again().map_err(failed)?;
            }
            return Ok(Some(partial));
        }
    }

    /// Removes the directory of unfinished files, if there are none.
    pub(crate) fn tidy(&self) {
        std::fs::remove_dir(self.dir.join(PARTIAL)).ok();
    }

    /// Removes what earlier runs have left unfinished and nobody is at.
    pub(crate) fn clean(&self) {
        let dir = self.dir.join(PARTIAL);
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let options = OpenOptions::new()
                .read(true)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
                .open(entry.path());
            if let Ok(file) = options
                && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                && lies_at(&file, &entry.path())
            {
                std::fs::remove_file(entry.path()).ok();
            }
        }
        self.tidy();
    }

    fn path(&self, checksum: &Checksum) -> PathBuf {
        self.dir.join(checksum.to_string())
    }
}

impl Partial {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn checksum(&self) -> &Checksum {
        &self.checksum
    }

    /// Appends what has come.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let result = match &mut self.bulk {
            Some(bulk) => fault::step!(bulk.append(bytes)),
            None => fault::writer!(&self.file).write_all(bytes),
        };
        result.map_err(|e| self.cannot_write(e))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        if self.bulk.is_none() && self.len >= bulk::FROM {
            let bulk = Bulk::new(&self.file, self.len).map_err(|e| self.cannot_write(e))?;
            self.bulk = Some(bulk);
        }
        Ok(())
    }

    /// Writes what is not written yet of what has come; nothing more is to come.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        match self.bulk.take() {
            Some(bulk) => fault::step!(bulk.finish()).map_err(|e| self.cannot_write(e)),
            None => Ok(()),
        }
    }

    /// Starts from nothing.
    pub(crate) fn reset(&mut self) -> Result<(), String> {
        self.bulk = None;
        self.len = 0;
        self.hasher = self.checksum.hasher();
        fault::step!(self.file.set_len(0))
            .and_then(|()| self.file.rewind())
            .map_err(|e| self.cannot_write(e))
    }

    /// Compares what has come with the checksum; an error is the one found.
    pub(crate) fn verify(&self) -> Result<(), Checksum> {
        if fault::lifted!("checksums") {
            return Ok(());
        }
        self.checksum.verify(self.hasher.clone())
    }

    /// Lets the file into the store, if its checksum is right.
    pub(crate) fn commit(mut self) -> Result<(), String> {
        self.verified()?;
        self.flush()?;
        // else a crash could leave the name without the bytes, which would then count as cached
        fault::step!(self.file.sync_data()).map_err(|e| self.cannot_write(e))?;
        self.enter()
    }

    fn verified(&self) -> Result<(), String> {
        self.verify()
            .map_err(|found| format!("expected {}, got {found}", self.checksum))
    }

    /// Gives the file, which is on disk, its name.
    fn enter(self) -> Result<(), String> {
        fault::step!(std::fs::rename(&self.path, &self.target))
            .map_err(|e| format!("cannot write {}: {e}", self.target.display()))
    }

    fn read_again(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match fault::step!(self.file.read(&mut buffer))? {
                0 => break,
                n => {
                    self.hasher.update(&buffer[..n]);
                    self.len += n as u64;
                }
            }
        }
        self.file.seek(SeekFrom::Start(self.len)).map(drop)
    }

    /// The disk is full or broken: the space is given back at once.
    fn cannot_write(&mut self, error: io::Error) -> String {
        self.bulk = None;
        self.len = 0;
        self.file.set_len(0).ok();
        format!("cannot write {}: {error}", self.path.display())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // what has come is for the next try
        self.flush().ok();
        if self.len == 0
            && self.file.metadata().is_ok_and(|st| st.len() == 0)
            && lies_at(&self.file, &self.path)
        {
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// [`Partial::commit`] of several files, which are written to disk together: what came of each.
pub(crate) fn commit(mut files: Vec<Partial>) -> Vec<(Checksum, Result<(), String>)> {
    let many = files.get(FEW).is_some();
    let written: Vec<_> = files.iter_mut().map(Partial::flush).collect();
    let synced = match files.first() {
        Some(first) if many => fault::step!(rustix::fs::syncfs(&first.file)),
        _ => Ok(()),
    };
    let commit = |mut file: Partial| match &synced {
        _ if !many => file.commit(),
        Ok(()) => file.verified().and_then(|()| file.enter()),
        Err(error) => Err(file.cannot_write((*error).into())),
    };
    files
        .into_iter()
        .zip(written)
        .map(|(file, written)| (file.checksum.clone(), written.and_then(|()| commit(file))))
        .collect()
}

/// Whether `path` still names this file.
fn lies_at(file: &File, path: &Path) -> bool {
    found_at(file, path).is_some()
}

/// What is known of this file, if `path` still names it.
fn found_at(file: &File, path: &Path) -> Option<Metadata> {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(ours),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn only_verified_files_enter() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        let checksum = Checksum::parse(ABC).unwrap();
        let stop = Stop::default();

        let mut partial = content.partial(&checksum, &stop).unwrap().unwrap();
        partial.write(b"ab").unwrap();
        let error = partial.commit().unwrap_err();
        assert!(
            error.starts_with(&format!("expected {ABC}, got sha256:fb8e")),
            "{error}"
        );
        assert!(!content.contains(&checksum));

        // what was there is taken up
        let mut partial = content.partial(&checksum, &stop).unwrap().unwrap();
        assert_eq!(partial.len(), 2);
        partial.write(b"c").unwrap();
        partial.commit().unwrap();
        assert!(content.contains(&checksum));
        assert!(content.partial(&checksum, &stop).unwrap().is_none());
        content.clean();
        let names: Vec<_> = std::fs::read_dir(dir.path().join(CONTENT_TYPE))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, [ABC]);
    }

    #[test]
    fn files_enter_together_except_those_that_are_wrong() {
        use sha2::{Digest, Sha256};
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        for count in [FEW, 3 * FEW] {
            let checksums: Vec<_> = (0..count)
                .map(|n| format!("sha256:{}", hex::encode(Sha256::digest(format!("{count} {n}")))))
                .map(|name| Checksum::parse(&name).unwrap())
                .collect();
            let files = checksums.iter().enumerate().map(|(n, checksum)| {
                let mut partial = content.partial(checksum, &Stop::default()).unwrap().unwrap();
                let text = format!("{count} {n}");
                partial
                    .write(if n == 1 { b"wrong" } else { text.as_bytes() })
                    .unwrap();
                partial
            });
            for (n, (checksum, result)) in commit(files.collect()).into_iter().enumerate() {
                assert_eq!(checksum, checksums[n]);
                assert_eq!(
                    (result.is_ok(), content.contains(&checksum)),
                    (n != 1, n != 1),
                    "{result:?}"
                );
            }
        }
    }

    #[test]
    fn an_empty_file_counts_only_where_nothing_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        let empty =
            Checksum::parse("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
                .unwrap();
        for checksum in [&empty, &Checksum::parse(ABC).unwrap()] {
            std::fs::create_dir_all(dir.path().join(CONTENT_TYPE)).unwrap();
            std::fs::write(content.path(checksum), "").unwrap();
            assert_eq!(content.contains(checksum), *checksum == empty);
        }
    }

    #[test]
    fn a_large_file_comes_whole_in_several_tries() {
        use sha2::{Digest, Sha256};
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let content = Content::new(dir.path());
        let bytes: Vec<u8> = (0..40_000_003_u32).map(|n| (n ^ (n >> 10)) as u8).collect();
        let name = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let checksum = Checksum::parse(&name).unwrap();
        let open = || content.partial(&checksum, &Stop::default()).unwrap().unwrap();
        let mut done = 0;
        for tried in [10_000_000, 20_000_001, 35_123_456, bytes.len()] {
            let mut partial = open();
            assert_eq!(partial.len(), done as u64);
            for piece in bytes[done..tried].chunks(65_000) {
                partial.write(piece).unwrap();
            }
            done = tried;
        }
        // nothing was let in by those that were given up
        assert!(!content.contains(&checksum));
        let mut partial = open();
        assert!(partial.verify().is_ok());
        partial.reset().unwrap();
        for piece in bytes.chunks(64 << 10) {
            partial.write(piece).unwrap();
        }
        partial.commit().unwrap();
        assert!(std::fs::read(content.path(&checksum)).unwrap() == bytes);
    }

    #[test]
    fn what_is_locked_is_not_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        let checksum = Checksum::parse(ABC).unwrap();
        let stop = Stop::default();
        let mut partial = content.partial(&checksum, &stop).unwrap().unwrap();
        partial.write(b"ab").unwrap();
        content.clean();
        partial.write(b"c").unwrap();
        partial.commit().unwrap();
        assert!(content.contains(&checksum));
    }
}
