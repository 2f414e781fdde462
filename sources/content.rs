//! Where verified files lie, and how they get there.
//!
//! ```text
//! <store>/sources/org.osbuild.files/
//!   sha256:0123…            a whole file with that digest
//!   .partial/sha256:0123…   what has come of it so far, locked by whoever downloads it; it enters by a rename
//!   .partial/lock-0         who is at which file
//! ```
//!
//! What is small stays in memory until it is whole and known to be right, and is then written to a file without a name, which
//! gets the one in the store when it is on disk. That costs less than a name that changes, and a process that is killed leaves
//! nothing of it. What is large has a name from the start, and so has what broke off, for the next try; on file systems
//! that know no files without names, all have.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, linkat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::bulk::{self, Bulk};
use crate::claims::{self, Claim, Claims};
use crate::digest::{Checksum, Hasher};
use crate::pool::Stop;
use crate::same_file::{found_at, lies_at};

/// The content type of every source in this crate: plain files named by their checksum.
const CONTENT_TYPE: &str = "org.osbuild.files";

const PARTIAL: &str = ".partial";

/// So many bytes of a file stay in memory.
const SMALL: usize = if fault::ON { 4 << 10 } else { 64 << 10 };

/// So many files are waited for one by one; for more the file system is told to write all it has, whoever it is of.
const FEW: usize = 3;

/// The files of a store's source cache.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    dir: Arc<Path>,
    /// The directory, once something is to come.
    opened: Arc<OnceLock<File>>,
    claims: Arc<Claims>,
}

/// A file on its way into the store. Dropped, it stays behind for the next try, unless it is empty.
pub(crate) struct Partial {
    content: Content,
    stop: Stop,
    place: Place,
    checksum: Checksum,
    hasher: Hasher,
    /// What has come so far is known to have the checksum.
    is_right: bool,
    /// Bytes that have come so far.
    len: u64,
    /// What has come of a large file behind its first part.
    bulk: Option<Bulk>,
    claim: Option<Claim>,
}

/// Where what has come is.
enum Place {
    /// In memory.
    Held(Vec<u8>),
    /// In a file without a name. All of it.
    Unnamed(File),
    /// In a file at this path.
    Named(File, PathBuf),
}

impl Content {
    /// The files below `cache`, the `sources` directory of a store. Nothing is made yet.
    pub(crate) fn new(cache: &Path) -> Self {
        let dir = cache.join(CONTENT_TYPE);
        Self {
            claims: Arc::new(Claims::new(dir.join(PARTIAL))),
            dir: dir.into(),
            opened: Arc::default(),
        }
    }

    /// Whether the file is there. It was verified when it came; an empty one is what a crash leaves.
    pub(crate) fn contains(&self, checksum: &Checksum) -> bool {
        let found = match self.opened.get() {
            Some(dir) => statat(dir, checksum.name(), AtFlags::SYMLINK_NOFOLLOW),
            None => statat(CWD, self.path(checksum), AtFlags::SYMLINK_NOFOLLOW),
        };
        found.is_ok_and(|st| {
            FileType::from_raw_mode(st.st_mode).is_file() && (st.st_size > 0 || checksum.is_of_nothing())
        })
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
        let claim = self.claims.take(checksum, stop)?;
        let partial = |place, claim| Partial {
            content: self.clone(),
            stop: stop.clone(),
            place,
            hasher: checksum.hasher(),
            is_right: false,
            checksum: checksum.clone(),
            len: 0,
            bulk: None,
            claim,
        };
        let name = checksum.name();
        let claimed = claim.as_ref().filter(|claim| !claim.has_left(name));
        if let Some(claimed) = claimed {
            let is_there = claimed.may_be_there(name) && self.contains(checksum);
            return Ok((!is_there).then(|| partial(Place::Held(Vec::new()), claim)));
        }
        let (file, path, len) = self.named(checksum, stop)?;
        if self.contains(checksum) {
            if lies_at(&file, &path) {
                std::fs::remove_file(&path).ok();
            }
            return Ok(None);
        }
        let failed = cannot_open(&path);
        let mut partial = partial(Place::Named(file, path), claim);
        if len > 0 {
            partial.read_again().map_err(failed)?;
        }
        Ok(Some(partial))
    }

    /// The file with a name for what has come, locked, its path, and its length. Waits while another process is at it.
    fn named(&self, checksum: &Checksum, stop: &Stop) -> Result<(File, PathBuf, u64), String> {
        let dir = self.dir.join(PARTIAL);
        let path = dir.join(checksum.name());
        let failed = cannot_open(&path);
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
                    claims::make(&dir)?;
                    continue;
                }
                other => other.map_err(&failed)?,
            };
            match fault::step!(flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
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
            if let Some(found) = found {
                return Ok((file, path, found.len()));
            }
        }
    }

    /// A file without a name; `None` where the file system has none.
    fn unnamed(&self) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match fault::step!(openat(self.opened()?, ".", flags, Mode::from(0o644))) {
            Ok(file) => Ok(Some(file.into())),
            // the last two are older kernels', which see a directory that is opened to be written
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The directory: a path to it is long, and is gone along several times for each file.
    fn opened(&self) -> io::Result<&File> {
        if let Some(dir) = self.opened.get() {
            return Ok(dir);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fault::step!(openat(CWD, &*self.dir, flags, Mode::empty()))?;
        Ok(self.opened.get_or_init(|| dir.into()))
    }

    /// Removes the directory of unfinished files, if there are none. Nothing more is to come.
    pub(crate) fn tidy(&self) {
        self.claims.end();
        std::fs::remove_dir(self.dir.join(PARTIAL)).ok();
    }

    /// Removes what earlier runs have left unfinished and nobody is at. Nothing more is to come.
    pub(crate) fn clean(&self) {
        let dir = self.dir.join(PARTIAL);
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| !claims::is_lock(&entry.file_name())) {
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
        self.dir.join(checksum.name())
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
        if matches!(&self.place, Place::Held(held) if held.len() + bytes.len() > SMALL) {
            self.give_name()?;
        }
        self.append(bytes)?;
        self.is_right = false;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        match &self.place {
            Place::Named(file, _) if self.bulk.is_none() && self.len >= bulk::FROM => {
                let bulk = Bulk::new(file, self.len).map_err(|e| self.cannot_write(e))?;
                self.bulk = Some(bulk);
            }
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        let result = match (&mut self.bulk, &mut self.place) {
            (Some(bulk), _) => fault::step!(bulk.append(bytes)),
            (None, Place::Held(held)) => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            (None, Place::Unnamed(file) | Place::Named(file, _)) => fault::writer!(&*file).write_all(bytes),
        };
        result.map_err(|e| self.cannot_write(e))
    }

    /// Writes what is not written yet of what has come, which is all of it.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        if let Some(bulk) = self.bulk.take() {
            return fault::step!(bulk.finish()).map_err(|e| self.cannot_write(e));
        }
        if let Place::Held(held) = &mut self.place {
            let held = std::mem::take(held);
            match self.content.unnamed().map_err(|e| self.cannot_write(e))? {
                Some(file) => self.place = Place::Unnamed(file),
                None => self.give_name()?,
            }
            self.append(&held)?;
        }
        Ok(())
    }

    /// Writes what is in memory to a file with a name.
    fn give_name(&mut self) -> Result<(), String> {
        let Place::Held(held) = &mut self.place else {
            return Ok(());
        };
        let held = std::mem::take(held);
        let (file, path, len) = loop {
            let named = self.content.named(&self.checksum, &self.stop);
            let (file, path, len) = named.inspect_err(|_| self.len = 0)?;
            // another process may have filled it before we had locked it: then it is the store's
            if lies_at(&file, &path) {
                break (file, path, len);
            }
        };
        if let (Some(claim), Some(name)) = (&self.claim, path.file_name()) {
            claim.may_leave(name);
        }
        self.place = Place::Named(file, path);
        if len > 0 {
            self.cut().map_err(|e| self.cannot_write(e))?;
        }
        self.append(&held)
    }

    /// Starts from nothing.
    pub(crate) fn reset(&mut self) -> Result<(), String> {
        self.bulk = None;
        self.len = 0;
        self.is_right = false;
        self.hasher = self.checksum.hasher();
        self.cut().map_err(|e| self.cannot_write(e))
    }

    fn cut(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Held(held) => {
                held.clear();
                Ok(())
            }
            Place::Unnamed(file) | Place::Named(file, _) => {
                fault::step!(file.set_len(0)).and_then(|()| file.rewind())
            }
        }
    }

    /// Compares what has come with the checksum; an error is the one found.
    pub(crate) fn verify(&mut self) -> Result<(), Checksum> {
        if self.is_right || fault::lifted!("checksums") {
            return Ok(());
        }
        self.checksum.verify(self.hasher.clone())?;
        self.is_right = true;
        Ok(())
    }

    /// Lets the file into the store, if its checksum is right.
    pub(crate) fn commit(mut self) -> Result<(), String> {
        self.verified()?;
        self.flush()?;
        if let Some(file) = self.file() {
            // else a crash could leave the name without the bytes, which would then count as cached
            fault::step!(file.sync_data()).map_err(|e| self.cannot_write(e))?;
        }
        self.enter()
    }

    fn verified(&mut self) -> Result<(), String> {
        self.verify()
            .map_err(|found| format!("expected {}, got {found}", self.checksum))
    }

    /// Gives the file, which is on disk, its name.
    fn enter(self) -> Result<(), String> {
        let target = self.content.path(&self.checksum);
        let entered = match &self.place {
            Place::Held(_) => Err(io::ErrorKind::InvalidInput.into()),
            Place::Unnamed(file) => self.link(file),
            Place::Named(_, path) => fault::step!(std::fs::rename(path, &target)),
        };
        entered.map_err(|e| format!("cannot write {}: {e}", target.display()))?;
        if let Some(claim) = &self.claim {
            claim.brought(self.checksum.name());
        }
        Ok(())
    }

    fn link(&self, file: &File) -> io::Result<()> {
        let (dir, name) = (self.content.opened()?, self.checksum.name());
        loop {
            // by the file itself only with a capability, or by the process that opened it since Linux 6.10
            let linked = match fault::step!(linkat(file, "", dir, name, AtFlags::EMPTY_PATH)) {
                Err(Errno::NOENT) => {
                    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                    fault::step!(linkat(CWD, path, dir, name, AtFlags::SYMLINK_FOLLOW))
                }
                other => other,
            };
            match linked {
                // somebody who makes no claims was faster
                Err(Errno::EXIST) if self.content.contains(&self.checksum) => return Ok(()),
                // what a crash has left
                Err(Errno::EXIST) => match fault::step!(unlinkat(dir, name, AtFlags::empty())) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(e) => return Err(e.into()),
                },
                other => return Ok(other?),
            }
        }
    }

    fn file(&self) -> Option<&File> {
        match &self.place {
            Place::Held(_) => None,
            Place::Unnamed(file) | Place::Named(file, _) => Some(file),
        }
    }

    fn read_again(&mut self) -> io::Result<()> {
        let Place::Named(file, _) = &mut self.place else {
            return Ok(());
        };
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match fault::step!(file.read(&mut buffer))? {
                0 => break,
                n => {
                    self.hasher.update(&buffer[..n]);
                    self.len += n as u64;
                }
            }
        }
        file.seek(SeekFrom::Start(self.len)).map(drop)
    }

    /// The disk is full or broken: the space is given back at once.
    fn cannot_write(&mut self, error: io::Error) -> String {
        self.bulk = None;
        self.len = 0;
        if let Some(file) = self.file() {
            file.set_len(0).ok();
        }
        let target = self.content.path(&self.checksum);
        let path = match &self.place {
            Place::Named(_, path) => path,
            _ => &target,
        };
        format!("cannot write {}: {error}", path.display())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // what has come is for the next try
        match &self.place {
            Place::Held(held) if !held.is_empty() => drop(self.give_name()),
            Place::Held(_) | Place::Unnamed(_) => {}
            Place::Named(..) => drop(self.flush()),
        }
        if let Place::Named(file, path) = &self.place
            && self.len == 0
            && file.metadata().is_ok_and(|st| st.len() == 0)
            && lies_at(file, path)
        {
            std::fs::remove_file(path).ok();
        }
    }
}

/// [`Partial::commit`] of several files, which are written to disk together: what came of each.
pub(crate) fn commit(mut files: Vec<Partial>) -> Vec<(Checksum, Result<(), String>)> {
    let many = files.get(FEW).is_some();
    let written: Vec<_> = files.iter_mut().map(Partial::flush).collect();
    let synced = match files.iter().find_map(Partial::file) {
        Some(first) if many => fault::step!(rustix::fs::syncfs(first)),
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

fn cannot_open(path: &Path) -> impl Fn(io::Error) -> String + use<> {
    let path = path.to_owned();
    move |e| format!("cannot open {}: {e}", path.display())
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
    fn what_is_small_has_no_name_before_it_is_in() {
        use sha2::{Digest, Sha256};
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let content = Content::new(dir.path());
        let left = || {
            let entries = std::fs::read_dir(dir.path().join(CONTENT_TYPE).join(PARTIAL)).unwrap();
            let names = entries.map(|e| e.unwrap().file_name());
            names.filter(|name| !claims::is_lock(name)).count()
        };
        for (length, named) in [(0, 0), (1, 0), (SMALL, 0), (SMALL + 1, 1)] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let name = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
            let checksum = Checksum::parse(&name).unwrap();
            let mut partial = content.partial(&checksum, &Stop::default()).unwrap().unwrap();
            for piece in bytes.chunks(1000) {
                partial.write(piece).unwrap();
            }
            partial.flush().unwrap();
            // all of them, where the file system knows no others
            let named = if content.unnamed().unwrap().is_some() {
                named
            } else {
                1
            };
            assert_eq!(left(), named, "{length}");
            partial.commit().unwrap();
            assert_eq!(left(), 0, "{length}");
            let path = content.path(&checksum);
            assert!(std::fs::read(&path).unwrap() == bytes, "{length}");
            assert_eq!(std::fs::metadata(&path).unwrap().nlink(), 1);
        }
        content.tidy();
        assert!(!dir.path().join(CONTENT_TYPE).join(PARTIAL).exists());
    }

    #[test]
    fn a_name_that_is_taken_is_kept_if_it_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let checksum = Checksum::parse(ABC).unwrap();
        for (there, then) in [("", "abc"), ("another's", "another's")] {
            let content = Content::new(dir.path());
            let mut partial = content.partial(&checksum, &Stop::default()).unwrap().unwrap();
            partial.write(b"abc").unwrap();
            std::fs::write(content.path(&checksum), there).unwrap();
            partial.commit().unwrap();
            let found = std::fs::read_to_string(content.path(&checksum)).unwrap();
            assert_eq!(found, then);
            std::fs::remove_file(content.path(&checksum)).unwrap();
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
