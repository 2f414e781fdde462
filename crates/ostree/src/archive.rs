//! An archive repository that is there already: looking into it, and adding objects that others made.
//!
//! An object enters whole or not at all: it is written to a file without a name, its checksum compared, and only then
//! given its name. A commit enters last, so that one that is there has all it leads to; what was begun to be pulled, here
//! or by `ostree` itself, is marked by `state/CHECKSUM.commitpartial`.
//!
//! Not each object is waited for until it is on disk. When the power fails some may therefore have a name and lack their
//! bytes: while there is a mark, an object that is found counts only once its checksum was compared.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::bufread::DeflateDecoder;
use rustix::fs::{AtFlags, CWD, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tree::Tree;

use crate::object::{Checksum, Kind};
use crate::parse::{Directory, Head, LARGEST_METADATA, Root};
use crate::repo::{Mode, check_ref};
use crate::{Error, Result};

/// The extension of files in an archive repository.
const FILE: &str = "filez";

/// The extension of a commit's mark in `state`.
const PARTIAL: &str = "commitpartial";

/// An archive repository.
#[derive(Debug)]
pub struct Archive {
    root: Tree,
}

/// What a commit leads to, itself left out.
#[derive(Debug, Default)]
pub struct Objects {
    pub files: HashSet<Checksum>,
    pub metadata: HashSet<(Kind, Checksum)>,
}

impl Archive {
    /// Opens the repository `path` of `parent`.
    ///
    /// # Errors
    /// There is none, or it keeps its files in another way.
    pub fn open_in(parent: &Tree, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let root = parent.subtree(path)?;
        let config = root.read_text("config")?;
        let mode = config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "mode").then_some(value.trim())
        });
        match mode {
            Some("archive" | "archive-z2") => Ok(Self { root }),
            _ => Err(Error::Mode {
                path: root.path().to_owned(),
                mode: mode.unwrap_or_default().to_owned(),
            }),
        }
    }

    /// Opens the repository `path` of `parent`, making it where there is none. Several processes may do so at a time.
    pub fn open_or_create(parent: &Tree, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let config = path.join("config");
        if !parent.exists(&config) {
            for directory in crate::repo::DIRECTORIES {
                fault::step!(Ok(())).map_err(|e: Errno| tree::Error::errno("make", path, e))?;
                parent.mkdir_all(path.join(directory))?;
            }
            // last: with it the repository is one
            let root = parent.subtree(path)?;
            let mode = Mode::Archive.name();
            let text = format!("[core]\nrepo_version=1\nmode={mode}\n\n[repo]\nlocking=true\n");
            create(&root, "config", text.as_bytes()).map_err(|e| tree::Error::io("write", &config, e))?;
        }
        Self::open_in(parent, path)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Whether a metadata object is there.
    pub fn has(&self, kind: Kind, checksum: Checksum) -> bool {
        self.root.is_file(place(checksum, kind.extension()))
    }

    /// Whether a file is there.
    pub fn has_file(&self, checksum: Checksum) -> bool {
        self.root.is_file(place(checksum, FILE))
    }

    /// Whether a file is there with the content that its checksum names, which is all read.
    pub fn is_sound(&self, checksum: Checksum) -> bool {
        let Ok(file) = self.file(checksum) else {
            return false;
        };
        let found = read_file(&mut BufReader::with_capacity(128 * 1024, file), &mut io::sink());
        matches!(found, Ok(Some((_, found))) if found == checksum)
    }

    /// Whether a commit is there with all it leads to.
    pub fn is_whole(&self, commit: Checksum) -> bool {
        self.metadata(Kind::Commit, commit).is_ok() && !self.root.exists(partial(commit))
    }

    /// Whether any commit is marked.
    fn is_unsettled(&self) -> Result<bool> {
        let names = self.root.list("state")?;
        Ok(names.iter().any(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == PARTIAL)
        }))
    }

    /// Marks a commit as one that is being pulled, durably: to be called before its first object is added. Returns whether
    /// what is there already is in doubt: another pull is under way, or broke off.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn begin(&self, commit: Checksum) -> Result<bool> {
        let doubt = self.is_unsettled()?;
        let mark = partial(commit);
        create(&self.root, &mark, b"").map_err(|e| self.cannot_write(e))?;
        let state = self
            .root
            .open_at("state", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        fault::step!(rustix::fs::fsync(state)).map_err(|e| self.cannot_write(e.into()))?;
        Ok(doubt)
    }

    /// Ends what was [begun](Self::begin): everything else is made durable, then the commit is added.
    ///
    /// # Errors
    /// As those of [`Self::add_metadata`]; the disk takes no more.
    pub fn finish(&self, checksum: Checksum, bytes: &[u8]) -> Result<()> {
        let failed = |e: Errno| self.cannot_write(e.into());
        let objects = self
            .root
            .open_at("objects", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        fault::step!(rustix::fs::syncfs(objects)).map_err(failed)?;
        self.add_commit(checksum, bytes)
    }

    /// The bytes of a metadata object, which have its checksum.
    pub fn metadata(&self, kind: Kind, checksum: Checksum) -> Result<Vec<u8>> {
        let path = place(checksum, kind.extension());
        let mut bytes = Vec::new();
        fault::step!(Ok(())).map_err(|e: Errno| tree::Error::errno("open", &path, e))?;
        self.root
            .open_file(&path)?
            .take(LARGEST_METADATA)
            .read_to_end(&mut bytes)
            .map_err(|e| tree::Error::io("read", &path, e))?;
        verify(checksum, Checksum::of(&bytes), kind.extension())?;
        Ok(bytes)
    }

    /// The stored bytes of a file.
    pub fn file(&self, checksum: Checksum) -> Result<File> {
        let path = place(checksum, FILE);
        fault::step!(Ok(())).map_err(|e: Errno| tree::Error::errno("open", &path, e))?;
        Ok(self.root.open_file(path)?)
    }

    /// Adds a metadata object.
    ///
    /// # Errors
    /// The bytes have another checksum.
    pub fn add_metadata(&self, kind: Kind, checksum: Checksum, bytes: &[u8]) -> Result<()> {
        verify(checksum, Checksum::of(bytes), kind.extension())?;
        self.publish(&self.written(bytes)?, checksum, kind.extension())
    }

    /// Adds a file from its stored bytes.
    ///
    /// # Errors
    /// They are no such bytes, or have another checksum; `from` ends with an error.
    pub fn add_file(&self, checksum: Checksum, from: &mut dyn Read) -> Result<()> {
        let file = self.unnamed()?;
        let mut tee = Tee {
            from,
            to: BufWriter::new(fault::writer!(&file)),
            failure: None,
        };
        let found = read_file(
            &mut BufReader::with_capacity(128 * 1024, &mut tee),
            &mut io::sink(),
        );
        if let Some(error) = tee.failure.take() {
            return Err(self.cannot_write(error));
        }
        let (_, found) = found
            .map_err(Error::Transfer)?
            .ok_or_else(|| Error::malformed(checksum, FILE))?;
        verify(checksum, found, FILE)?;
        tee.to.flush().map_err(|e| self.cannot_write(e))?;
        drop(tee);
        self.publish(&file, checksum, FILE)
    }

    /// Adds the commit itself, everything else being there.
    fn add_commit(&self, checksum: Checksum, bytes: &[u8]) -> Result<()> {
        verify(checksum, Checksum::of(bytes), Kind::Commit.extension())?;
        let file = self.written(bytes)?;
        // the mark goes next: the name must not be there without the bytes
        fault::step!(file.sync_all()).map_err(|e| self.cannot_write(e))?;
        self.publish(&file, checksum, Kind::Commit.extension())?;
        match self.root.remove_file(partial(checksum)) {
            // there was none, or another process that pulls the same has just removed it
            Err(_) if !self.root.exists(partial(checksum)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// All objects that a commit leads to.
    pub fn objects(&self, commit: Checksum) -> Result<Objects> {
        let mut all = Objects::default();
        let root = self.root_of(commit)?;
        all.metadata.insert((Kind::DirMeta, root.meta));
        let mut todo = vec![root.tree];
        while let Some(tree) = todo.pop() {
            if !all.metadata.insert((Kind::DirTree, tree)) {
                continue;
            }
            let directory = self.directory(tree)?;
            all.files.extend(directory.files.iter().map(|(_, file)| *file));
            for (_, tree, meta) in directory.directories {
                all.metadata.insert((Kind::DirMeta, meta));
                todo.push(tree);
            }
        }
        Ok(all)
    }

    /// What a commit leads to first.
    pub fn root_of(&self, commit: Checksum) -> Result<Root> {
        Root::of_commit(&self.metadata(Kind::Commit, commit)?)
            .ok_or_else(|| Error::malformed(commit, Kind::Commit.extension()))
    }

    /// The entries of a directory.
    pub fn directory(&self, tree: Checksum) -> Result<Directory> {
        Directory::of_dirtree(&self.metadata(Kind::DirTree, tree)?)
            .ok_or_else(|| Error::malformed(tree, Kind::DirTree.extension()))
    }

    /// Takes over a commit of another repository, with all it leads to. With `links` files get further names here, where
    /// the file system allows it and they are our own; such a file is taken as it is. All else is copied and checked.
    ///
    /// # Errors
    /// The commit is not there, or not whole.
    pub fn take(&self, from: &Self, commit: Checksum, links: bool) -> Result<()> {
        if self.is_whole(commit) {
            return Ok(());
        }
        self.take_objects(from, commit, links, false)?;
        self.add_commit(commit, &from.metadata(Kind::Commit, commit)?)
    }

    /// [`Self::take`] without the commit itself, which the caller adds by [`Self::finish`]. With `doubt` what is here
    /// already is checked.
    ///
    /// # Errors
    /// As those of [`Self::take`].
    pub fn take_objects(&self, from: &Self, commit: Checksum, links: bool, doubt: bool) -> Result<()> {
        if !from.is_whole(commit) {
            return Err(Error::NoCommit {
                path: from.path().to_owned(),
                commit,
            });
        }
        let objects = from.objects(commit)?;
        for file in objects.files {
            let is_there = self.has_file(file) && (!doubt || self.is_sound(file));
            let linked = is_there || links && self.link(from, &place(file, FILE))?;
            if !linked {
                self.add_file(file, &mut from.file(file)?)?;
            }
        }
        for (kind, checksum) in objects.metadata {
            let is_there = self.has(kind, checksum) && (!doubt || self.metadata(kind, checksum).is_ok());
            if !is_there {
                self.add_metadata(kind, checksum, &from.metadata(kind, checksum)?)?;
            }
        }
        let detached = place(commit, "commitmeta");
        if let Ok(signatures) = from.root.read(&detached) {
            self.make_folder(&detached)?;
            self.root.write(&detached, signatures)?;
        }
        Ok(())
    }

    /// Points the ref `name` at a commit.
    pub fn set_ref(&self, name: &str, commit: Checksum) -> Result<()> {
        check_ref(name)?;
        let path = Path::new("refs/heads").join(name);
        self.root.mkdir_all(path.parent().unwrap_or(&path))?;
        Ok(self.root.write(&path, format!("{commit}\n"))?)
    }

    /// Gives a file of another repository a name here as well. `false` where that cannot be, or something has the name.
    fn link(&self, from: &Self, path: &Path) -> Result<bool> {
        let stat = from.root.stat(path)?;
        let ours = rustix::process::geteuid().as_raw();
        if !stat.is_some_and(|stat| stat.kind == tree::Kind::File && stat.uid == ours) {
            return Ok(false);
        }
        let file = from.root.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        let folder = self.make_folder(path)?;
        let name = path.file_name().unwrap_or_default();
        let linked = fault::step!(rustix::fs::linkat(
            CWD,
            proc_path(&file),
            folder,
            name,
            AtFlags::SYMLINK_FOLLOW
        ));
        Ok(linked.is_ok())
    }

    /// These bytes in a file without a name.
    fn written(&self, bytes: &[u8]) -> Result<File> {
        let file = self.unnamed()?;
        fault::writer!(&file)
            .write_all(bytes)
            .map_err(|e| self.cannot_write(e))?;
        Ok(file)
    }

    fn unnamed(&self) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        fault::step!(Ok(())).map_err(|e: Errno| self.cannot_write(e.into()))?;
        Ok(self.root.open_at("objects", flags, 0o644)?.into())
    }

    fn publish(&self, file: &File, checksum: Checksum, extension: &str) -> Result<()> {
        let path = place(checksum, extension);
        let folder = self.make_folder(&path)?;
        let name = path.file_name().unwrap_or_default();
        loop {
            let linked = fault::step!(rustix::fs::linkat(
                CWD,
                proc_path(file),
                &folder,
                name,
                AtFlags::SYMLINK_FOLLOW
            ));
            match linked {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(self.cannot_write(e.into())),
            }
            // somebody else was faster, or what is there is damaged
            let there = self.root.open_file(&path);
            if there.is_ok_and(|there| is_same(file, &there).unwrap_or(false)) {
                return Ok(());
            }
            match fault::step!(rustix::fs::unlinkat(&folder, name, AtFlags::empty())) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(self.cannot_write(e.into())),
            }
        }
    }

    fn make_folder(&self, path: &Path) -> Result<rustix::fd::OwnedFd> {
        let folder = path.parent().unwrap_or(path);
        fault::step!(Ok(())).map_err(|e: Errno| self.cannot_write(e.into()))?;
        self.root.mkdir_all(folder)?;
        Ok(self.root.open_at(folder, OFlags::PATH | OFlags::DIRECTORY, 0)?)
    }

    fn cannot_write(&self, source: io::Error) -> Error {
        Error::Repository {
            operation: "write to",
            path: self.root.path().display().to_string(),
            source,
        }
    }
}

/// Reads the stored bytes of a file to their end, its content going to `out`. Returns what stands before the content
/// and the checksum of both; `None` where they are no such bytes.
pub(crate) fn read_file(from: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<Option<(Head, Checksum)>> {
    let Some(head) = Head::read(&mut *from)? else {
        return Ok(None);
    };
    let mut hash = Sha256::new();
    hash.update(head.meta.file_header(&head.target));
    let mut total = 0;
    if head.target.is_empty() {
        let mut content = DeflateDecoder::new(&mut *from);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let length = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            total += length as u64;
            // no more than was announced: a little can be blown up to a lot
            if total > head.size {
                return Ok(None);
            }
            hash.update(&buffer[..length]);
            out.write_all(&buffer[..length])?;
        }
    }
    let over = from.fill_buf()?.is_empty();
    Ok((over && total == head.size).then(|| (head, Checksum(hash.finalize().into()))))
}

/// Whether two files have the same bytes.
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut at = 0;
    loop {
        let length = one.read_at(&mut ours, at)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact_at(&mut theirs[..length], at)?;
        if ours[..length] != theirs[..length] {
            return Ok(false);
        }
        at += length as u64;
    }
}

/// Makes a file with all its content at once, unless it is there: what breaks off, also by the power, leaves nothing.
fn create(root: &Tree, name: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = fault::step!(rustix::fs::openat(root.fd(), ".", flags, 0o644.into()))?;
    let file = File::from(file);
    fault::writer!(&file).write_all(content)?;
    fault::step!(file.sync_all())?;
    let linked = fault::step!(rustix::fs::linkat(
        CWD,
        proc_path(&file),
        root.fd(),
        name.as_ref(),
        AtFlags::SYMLINK_FOLLOW
    ));
    match linked {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn place(checksum: Checksum, extension: &str) -> PathBuf {
    let hex = checksum.to_string();
    format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..]).into()
}

fn partial(commit: Checksum) -> PathBuf {
    format!("state/{commit}.{PARTIAL}").into()
}

fn proc_path(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn verify(wanted: Checksum, found: Checksum, kind: &'static str) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::Checksum { kind, wanted, found })
}

/// Passes on what is read, and writes it down.
struct Tee<'a, W: Write> {
    from: &'a mut dyn Read,
    to: W,
    /// Why it could not be written.
    failure: Option<io::Error>,
}

impl<W: Write> Read for Tee<'_, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        match self.to.write_all(&buffer[..length]) {
            Ok(()) => Ok(length),
            Err(e) => {
                self.failure = Some(e);
                Err(io::Error::other("cannot write"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
