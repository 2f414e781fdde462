//! One layer over those below it.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use module::{Context, Result, Tree, bail};
use rustix::fs::{self, FileType, Mode, OFlags, XattrFlags};
use tar::{Entry, EntryType};
use tree::Kind;

/// Names of pax records that carry an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks a layer. Links on the way are followed inside the tree.
pub(super) struct Layer<'t> {
    tree: &'t Tree,
    /// What this layer has brought: its own whiteouts do not mean that.
    brought: HashSet<PathBuf>,
    /// Directories' times, which what is made in them changes.
    times: HashMap<PathBuf, i64>,
}

/// Owner, mode, time and attributes.
struct Dress {
    uid: u32,
    gid: u32,
    mode: u32,
    time: i64,
    attributes: Vec<(String, Vec<u8>)>,
}

impl<'t> Layer<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            brought: HashSet::new(),
            times: HashMap::new(),
        }
    }

    /// Unpacks the tar archive `stream`.
    pub(super) fn unpack(&mut self, stream: impl Read) -> Result<()> {
        for entry in tar::Archive::new(stream).entries()? {
            let entry = entry.context("its archive is damaged")?;
            let path = inside(&entry.path_bytes())?;
            self.entry(entry, &path)
                .with_context(|| format!("cannot unpack /{}", path.display()))?;
        }
        for (path, time) in &self.times {
            // a later layer's entry may have taken its place
            if self.tree.is_dir(path) {
                self.tree.set_mtime(path, *time, 0)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let parent = path.parent().unwrap_or(Path::new(""));
        if name.as_bytes() == OPAQUE {
            return self.clear(parent);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            // others of aufs mean nothing to an image
            return match hidden.starts_with(WHITEOUT) {
                true => Ok(()),
                false => self.hide(&parent.join(OsStr::from_bytes(hidden))),
            };
        }
        let dress = Dress::of(&mut entry)?;
        self.write(&mut entry, path, &dress)?;
        self.brought.insert(path.to_owned());
        Ok(())
    }

    fn write(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path, dress: &Dress) -> Result<()> {
        let kind = entry.header().entry_type();
        let parent = path.parent().unwrap_or(Path::new(""));
        self.tree.mkdir_all(parent)?;
        if kind == EntryType::Directory {
            return self.directory(path, dress);
        }
        self.tree.remove_all(path)?;
        let (dir, name) = self.tree.parent_of(path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let mut file = File::from(self.tree.open_at(path, flags, 0o600)?);
                std::io::copy(entry, &mut file)?;
                dress.put_on(self.tree, path, Some(&file))
            }
            EntryType::Symlink => {
                self.tree.symlink(target(entry)?, path)?;
                dress.put_on(self.tree, path, None)
            }
            EntryType::Link => {
                let original = inside(target(entry)?.as_bytes())?;
                Ok(self.tree.hard_link(original, path)?)
            }
            EntryType::Fifo => {
                fs::mknodat(
                    dir.as_fd(),
                    &name,
                    FileType::Fifo,
                    Mode::from_raw_mode(dress.mode),
                    0,
                )?;
                dress.put_on(self.tree, path, None)?;
                Ok(self.tree.chmod(path, dress.mode)?)
            }
            // these are /dev's, which is made anew wherever the tree runs
            EntryType::Char | EntryType::Block if path.starts_with("dev") => {
                println!("left out the device node /{}", path.display());
                Ok(())
            }
            other => bail!("entries of the type {other:?} cannot be made in a sandbox"),
        }
    }

    fn directory(&mut self, path: &Path, dress: &Dress) -> Result<()> {
        match self.tree.stat(path)?.map(|stat| stat.kind) {
            Some(Kind::Directory) => {}
            Some(_) => {
                self.tree.remove_all(path)?;
                self.tree.mkdir(path, 0o700)?;
            }
            None => self.tree.mkdir(path, 0o700)?,
        }
        let opened = File::from(self.tree.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?);
        dress.put_on(self.tree, path, Some(&opened))?;
        self.times.insert(path.to_owned(), dress.time);
        Ok(())
    }

    /// Removes what a layer below has brought.
    fn hide(&self, path: &Path) -> Result<()> {
        if self.brought.contains(path) {
            return self.clear(path);
        }
        Ok(self.tree.remove_all(path)?)
    }

    /// Removes all that the layers below have brought into a directory.
    fn clear(&self, dir: &Path) -> Result<()> {
        if !matches!(self.tree.stat(dir)?, Some(stat) if stat.kind == Kind::Directory) {
            return Ok(());
        }
        for name in self.tree.list(dir)? {
            self.hide(&dir.join(name))?;
        }
        Ok(())
    }
}

impl Dress {
    fn of(entry: &mut Entry<'_, impl Read>) -> Result<Self> {
        let mut attributes = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            if let Some(name) = record.key().ok().and_then(|key| key.strip_prefix(XATTR)) {
                attributes.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
        let header = entry.header();
        let id = |id: std::io::Result<u64>| u32::try_from(id?).context("its owner is out of range");
        Ok(Self {
            uid: id(header.uid())?,
            gid: id(header.gid())?,
            mode: header.mode()? & 0o7777,
            time: i64::try_from(header.mtime()?).unwrap_or(0),
            attributes,
        })
    }

    /// Owner first: its change takes the setuid bit and capabilities away. Links have no mode and, here, no attributes.
    fn put_on(&self, tree: &Tree, path: &Path, opened: Option<&File>) -> Result<()> {
        tree.chown(path, Some(self.uid), Some(self.gid))?;
        if let Some(opened) = opened {
            fs::fchmod(opened, Mode::from_raw_mode(self.mode))?;
            for (name, value) in &self.attributes {
                // labels are the deployed system's own
                if name != "security.selinux" {
                    fs::fsetxattr(opened, name, value, XattrFlags::empty())
                        .with_context(|| format!("cannot set its attribute {name}"))?;
                }
            }
        }
        Ok(tree.set_mtime(path, self.time, 0)?)
    }
}

fn target(entry: &Entry<'_, impl Read>) -> Result<OsString> {
    let target = entry.link_name_bytes().context("the link leads nowhere")?;
    Ok(OsString::from_vec(target.into_owned()))
}

/// The path of a member relative to the root of the tree; one that leads out of it is refused.
fn inside(member: &[u8]) -> Result<PathBuf> {
    let member = Path::new(OsStr::from_bytes(member));
    let mut path = PathBuf::new();
    for component in member.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => bail!("its member `{}` leads out of the tree", member.display()),
        }
    }
    Ok(path)
}
