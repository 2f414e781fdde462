//! Writing one file or link into a repository: hashed and compressed in one pass.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rustix::fs::{OFlags, XattrFlags};
use sha2::{Digest, Sha256};
use tree::Tree;

use crate::object::{Checksum, Meta};
use crate::repo::{Mode, Repo};
use crate::{Content, Error, Result};

/// The level `ostree` compresses with by default (`archive.zlib-level`).
const LEVEL: u32 = 6;

/// A file or a symbolic link to store.
#[derive(Debug)]
pub(crate) struct FileObject<'a> {
    /// Where it is in the commit, for messages.
    pub path: &'a Path,
    pub meta: &'a Meta,
    pub source: Source<'a>,
}

/// What an object holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    Content(&'a Content),
    Target(&'a str),
}

impl FileObject<'_> {
    /// Stores it, by way of the repository's file `tmp/NAME`.
    pub fn store(&self, repo: &Repo, tree: &Tree, name: &str) -> Result<Checksum> {
        let temporary = format!("tmp/{name}");
        let file = repo.create(&temporary)?;
        let failed = |e| repo.failed("write", &temporary, e);
        let mut hash = Sha256::new();
        match (self.source, repo.mode()) {
            (Source::Target(target), mode) => {
                hash.update(self.meta.file_header(target));
                let bytes = match mode {
                    Mode::Archive => self.meta.archive_header(target, 0),
                    Mode::BareUser => target.as_bytes().to_vec(),
                };
                (&file).write_all(&bytes).map_err(failed)?;
            }
            (Source::Content(content), Mode::Archive) => {
                hash.update(self.meta.file_header(""));
                let mut out = BufWriter::new(&file);
                out.write_all(&self.meta.archive_header("", content.size()))
                    .map_err(failed)?;
                let mut out = DeflateEncoder::new(out, Compression::new(LEVEL));
                self.copy(tree, content, &mut hash, &mut out, &failed)?;
                let mut out = out.finish().map_err(failed)?;
                out.flush().map_err(failed)?;
            }
            (Source::Content(content), Mode::BareUser) => {
                hash.update(self.meta.file_header(""));
                self.copy(tree, content, &mut hash, &mut &file, &failed)?;
            }
        }
        if repo.mode() == Mode::BareUser {
            self.mark(&file).map_err(failed)?;
        }
        let checksum = Checksum(hash.finalize().into());
        repo.publish(&temporary, checksum, repo.mode().file_extension())?;
        Ok(checksum)
    }

    /// Bare-user files are anyone's; what they are in the commit is in an attribute.
    fn mark(&self, file: &File) -> io::Result<()> {
        rustix::fs::fsetxattr(file, "user.ostreemeta", &self.meta.dirmeta(), XattrFlags::empty())?;
        let mode = match self.source {
            Source::Content(_) => self.meta.mode & 0o775 | 0o400,
            Source::Target(_) => 0o644,
        };
        Ok(rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(mode))?)
    }

    /// Copies the content, counting: a file that changes its size meanwhile would make a broken object.
    fn copy(
        &self,
        tree: &Tree,
        content: &Content,
        hash: &mut Sha256,
        out: &mut dyn Write,
        failed: &dyn Fn(io::Error) -> Error,
    ) -> Result<()> {
        let Content::Tree { path, size, .. } = content else {
            if let Content::Bytes(bytes) = content {
                hash.update(bytes);
                out.write_all(bytes).map_err(failed)?;
            }
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut file = File::from(tree.open_at(path, flags, 0)?);
        let mut buffer = vec![0; 128 * 1024];
        let mut total = 0;
        loop {
            let length = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(tree::Error::io("read", path, e).into()),
            };
            total += length as u64;
            hash.update(&buffer[..length]);
            out.write_all(&buffer[..length]).map_err(failed)?;
        }
        if total != *size {
            return Err(Error::Entry {
                path: self.path.display().to_string(),
                reason: format!("its size changed from {size} to {total} while it was read"),
            });
        }
        Ok(())
    }
}
