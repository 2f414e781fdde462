//! What host services work on: the stage's tree, devices and mounts, on the host's side and in a mount table that only
//! this stage has. What they made is then brought into the box.
//!
//! ```text
//! <scratch>/bench/tree     the stage's tree, with the box's owners
//! <scratch>/bench/dev      where device services make nodes
//! <scratch>/bench/nodes    the same nodes again, owned by the box's root
//! <scratch>/mounts         where mount services mount
//! <scratch>/inputs/NAME    what input services fill
//! ```
//!
//! An overlay cannot be id-mapped, so the tree is one of id-mapped layers and the box gets that very mount. Every mount
//! below is cloned and id-mapped for the box, or refused where its file system cannot be.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use sandbox::{Idmap, Layers, Mount, Source, UserNamespace};

use super::mountinfo::{self, Mounted};
use crate::{Error, Result};

/// The nodes that every box has, which are not brought in a second time.
const USUAL: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// The host's side of a stage.
#[derive(Debug)]
pub(crate) struct Bench {
    scratch: PathBuf,
    root_id: u32,
}

impl Bench {
    /// Sets it up, for a thread with a mount table of its own.
    pub(crate) fn new(scratch: &Path, tree: Layers, users: &UserNamespace) -> Result<Self> {
        let bench = Self {
            scratch: scratch.to_owned(),
            root_id: users.root_id(),
        };
        for dir in [bench.at("bench"), bench.mounts(), bench.inputs()] {
            std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", dir, e))?;
        }
        let mut mounts: Vec<Mount> = ["/dev", "/nodes"]
            .map(|target| Mount::Tmpfs {
                target: target.into(),
                mode: 0o755,
            })
            .to_vec();
        mounts.extend(USUAL.map(|name| Mount::Device { name: name.into() }));
        mounts.push(Mount::Tree {
            layers: tree,
            target: "/tree".into(),
        });
        sandbox::attach(&bench.at("bench"), &mounts, users)?;
        Ok(bench)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.at("bench/tree")
    }

    pub(crate) fn dev(&self) -> PathBuf {
        self.at("bench/dev")
    }

    pub(crate) fn mounts(&self) -> PathBuf {
        self.at("mounts")
    }

    pub(crate) fn inputs(&self) -> PathBuf {
        self.at("inputs")
    }

    /// What brings the tree, the mounts, the devices and the inputs called `inputs` into the box. What is mounted in one
    /// of the `storages` can be written, and nothing of that reaches the host.
    pub(crate) fn bring(&self, inputs: &[&str], storages: &[String]) -> Result<Vec<Mount>> {
        let mut all = self.with_mounts(&self.tree(), Path::new("/run/osbuild/tree"), true)?;
        all.extend(self.with_mounts(&self.mounts(), Path::new("/run/osbuild/mounts"), true)?);
        for name in inputs {
            let target = Path::new("/run/osbuild/inputs").join(name);
            let mut mounts = self.with_mounts(&self.inputs().join(name), &target, false)?;
            if storages.iter().any(|storage| storage == name) {
                for (index, mount) in mounts.iter_mut().enumerate().skip(1) {
                    self.let_write(mount, &format!("writes/{name}/{index}"))?;
                }
            }
            all.extend(mounts);
        }
        self.nodes(Path::new(""), &mut all)?;
        Ok(all)
    }

    /// A directory and all that is mounted at and below it.
    fn with_mounts(&self, dir: &Path, target: &Path, writable: bool) -> Result<Vec<Mount>> {
        let mut mounted =
            mountinfo::below(dir).map_err(|e| Error::io("read", "/proc/thread-self/mountinfo", e))?;
        if mounted.first().is_none_or(|first| first.path != dir) {
            let plain = Mounted {
                path: dir.to_owned(),
                shifted: false,
            };
            mounted.insert(0, plain);
        }
        let bind = |mounted: &Mounted| {
            let below = mounted.path.strip_prefix(dir).unwrap_or(Path::new(""));
            let idmap = if mounted.shifted {
                Idmap::None
            } else {
                Idmap::Required
            };
            Mount::Bind {
                source: Source::at(&mounted.path),
                // joining nothing would add a slash
                target: if below.as_os_str().is_empty() {
                    target.to_owned()
                } else {
                    target.join(below)
                },
                writable,
                idmap,
            }
        };
        Ok(mounted.iter().map(bind).collect())
    }

    /// Has a stage write beside what it is given, into `changes` of the scratch directory.
    fn let_write(&self, mount: &mut Mount, changes: &str) -> Result<()> {
        // a mount that is shifted already can be no layer, and stays as it is
        let Mount::Bind {
            source,
            target,
            idmap: Idmap::Required,
            ..
        } = mount
        else {
            return Ok(());
        };
        let changes = self.at(changes);
        for dir in ["upper", "work"].map(|name| changes.join(name)) {
            std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", dir, e))?;
        }
        let layers = Layers {
            lower: vec![source.root.join(&source.path)],
            changes: Some(changes),
            ..Layers::default()
        };
        *mount = Mount::Tree {
            layers,
            target: target.clone(),
        };
        Ok(())
    }

    /// Device nodes that services made, each as one that the box's root owns.
    fn nodes(&self, below: &Path, all: &mut Vec<Mount>) -> Result<()> {
        let dir = self.dev().join(below);
        let fail = |e: std::io::Error| Error::io("read", &dir, e);
        let mut entries = std::fs::read_dir(&dir)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(fail)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            let metadata = entry.path().symlink_metadata().map_err(fail)?;
            let kind = metadata.file_type();
            let target = Path::new("/dev").join(&path);
            if kind.is_dir() {
                self.nodes(&path, all)?;
            } else if kind.is_symlink() {
                let text = std::fs::read_link(entry.path()).map_err(fail)?;
                all.push(Mount::Symlink { target, text });
            } else if (kind.is_block_device() || kind.is_char_device())
                && !USUAL.iter().any(|usual| Path::new(usual) == path)
            {
                let source = self.at("bench/nodes").join(&path);
                let kind = if kind.is_block_device() {
                    FileType::BlockDevice
                } else {
                    FileType::CharacterDevice
                };
                make_node(&source, kind, metadata.rdev(), self.root_id)?;
                all.push(Mount::Node { source, target });
            }
        }
        Ok(())
    }

    /// Lets go of all mounts, so that the tree can be kept.
    pub(crate) fn close(self) -> Result<()> {
        sandbox::detach(&self.at("bench")).map_err(Error::from)
    }
}

/// Makes a device node of `owner`.
fn make_node(path: &Path, kind: FileType, device: u64, owner: u32) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("make the device node", path, e);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).map_err(|e| fail(e.into()))?;
    std::os::unix::fs::lchown(path, Some(owner), Some(owner)).map_err(fail)
}
