//! From a [`Plan`] to the flat list of system calls that makes it real.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use caps::Capability;
use serde::{Deserialize, Serialize};

use crate::plan::{Idmap, Layers, Mount, Part, Plan, Source};
use crate::text::{Bytes, Text};
use crate::{Error, Result, rootless, seccomp};

/// Where layers are attached while an overlay is put together, below the scaffold.
const WORKBENCH: &str = ".layers";

/// One step of the set-up. Paths are the host's, below the scaffold, until [`Step::Pivot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<'a> {
    /// Cuts the mount table off from the host's.
    Detach,
    /// Shows the box's control group as the root of all.
    OwnGroups,
    Tmpfs {
        #[serde(borrow)]
        target: Text<'a>,
        #[serde(borrow)]
        data: Text<'a>,
    },
    /// Makes a directory and gives it to the box's root; one that is there is fine.
    Mkdir {
        #[serde(borrow)]
        path: Text<'a>,
        mode: u32,
    },
    /// Writes a file of the box's root.
    Write {
        #[serde(borrow)]
        path: Text<'a>,
        #[serde(borrow)]
        content: Bytes<'a>,
    },
    Symlink {
        #[serde(borrow)]
        text: Text<'a>,
        #[serde(borrow)]
        path: Text<'a>,
    },
    /// Attaches a clone of `path` below `root` (resolved without links) at `target`, which is made where it is not there.
    Clone {
        #[serde(borrow)]
        root: Text<'a>,
        #[serde(borrow)]
        path: Text<'a>,
        #[serde(borrow)]
        target: Text<'a>,
        read_only: bool,
        idmap: Idmap,
        devices: bool,
        optional: bool,
        /// Whether links in `path` are followed: none leads out of `root`.
        follow: bool,
    },
    /// Mounts an overlay; `data` is relative to the directory `bench`.
    Overlay {
        #[serde(borrow)]
        bench: Text<'a>,
        #[serde(borrow)]
        data: Text<'a>,
        #[serde(borrow)]
        target: Text<'a>,
        read_only: bool,
    },
    Proc {
        #[serde(borrow)]
        target: Text<'a>,
    },
    Sys {
        #[serde(borrow)]
        target: Text<'a>,
    },
    /// Makes what is at `path` read-only, by a mount of its own. What is not there is passed over.
    Protect {
        #[serde(borrow)]
        path: Text<'a>,
    },
    /// Covers the file `path` with `/dev/null`. What is not there is passed over.
    Mask {
        #[serde(borrow)]
        path: Text<'a>,
    },
    Unmount {
        #[serde(borrow)]
        path: Text<'a>,
    },
    RemoveDirectory {
        #[serde(borrow)]
        path: Text<'a>,
    },
    Hostname {
        #[serde(borrow)]
        name: Text<'a>,
    },
    /// Brings the loopback network device up.
    Loopback,
    /// Makes `root` the root directory and lets go of the host's.
    Pivot {
        #[serde(borrow)]
        root: Text<'a>,
    },
    /// Becomes root of the user namespace.
    EnterUser,
    /// A mount namespace that belongs to the user namespace.
    OwnMounts,
    /// Keeps these capabilities (a bit mask) and no others, and checks that it is so.
    Capabilities { mask: u64 },
    /// Limits how many processes and threads the user may have.
    Limit { processes: u64 },
    /// Has the kernel refuse system calls by the filter of every box, for good; perhaps those that make sockets too.
    Filter { sockets: bool },
}

impl std::fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Detach => write!(f, "making the mounts private"),
            Self::OwnGroups => write!(f, "making the control group namespace"),
            Self::Tmpfs { target, .. } => write!(f, "mounting a tmpfs on {}", show(target)),
            Self::Mkdir { path, .. } => write!(f, "making the directory {}", show(path)),
            Self::Write { path, .. } => write!(f, "writing {}", show(path)),
            Self::Symlink { path, .. } => write!(f, "making the link {}", show(path)),
            Self::Clone {
                root, path, target, ..
            } => {
                let slash = if path.is_empty() { "" } else { "/" };
                write!(
                    f,
                    "binding {}{slash}{} to {}",
                    show(root),
                    show(path),
                    show(target)
                )
            }
            Self::Overlay { target, .. } => write!(f, "mounting the overlay of {}", show(target)),
            Self::Proc { .. } => write!(f, "mounting /proc"),
            Self::Sys { .. } => write!(f, "mounting /sys"),
            Self::Protect { path } => write!(f, "making {} read-only", show(path)),
            Self::Mask { path } => write!(f, "covering {}", show(path)),
            Self::Unmount { path } => write!(f, "unmounting {}", show(path)),
            Self::RemoveDirectory { path } => write!(f, "removing {}", show(path)),
            Self::Hostname { .. } => write!(f, "setting the host name"),
            Self::Loopback => write!(f, "bringing the loopback device up"),
            Self::Pivot { .. } => write!(f, "changing the root directory"),
            Self::EnterUser => write!(f, "entering the user namespace"),
            Self::OwnMounts => write!(f, "making the mount namespace"),
            Self::Capabilities { .. } => write!(f, "dropping capabilities"),
            Self::Limit { .. } => write!(f, "limiting the number of processes"),
            Self::Filter { .. } => write!(f, "filtering system calls (seccomp)"),
        }
    }
}

fn show<'t>(text: &'t Text<'_>) -> std::borrow::Cow<'t, str> {
    text.to_string_lossy()
}

/// The steps of a set-up, in order.
#[derive(Debug, Default)]
pub struct Steps {
    /// Those that do not depend on what is special to this box.
    pub common: Vec<Step<'static>>,
    pub own: Vec<Step<'static>>,
}

/// All steps of a plan.
///
/// # Errors
/// A path with a NUL byte.
pub fn steps(plan: &Plan) -> Result<Steps> {
    seccomp::prepare();
    let (common, own) = plan.mounts.split_at(plan.common.min(plan.mounts.len()));
    let mut builder = Builder::new(&plan.scaffold);
    builder.steps.push(Step::Detach);
    builder.root(common)?;
    builder.steps.push(Step::Hostname {
        name: c_string(OsStr::new(&plan.hostname))?.into(),
    });
    let common = std::mem::take(&mut builder.steps);
    if plan.sockets {
        builder.steps.push(Step::Loopback);
    }
    // shows the group that the box is in by now as the root of all
    builder.steps.push(Step::OwnGroups);
    for mount in own {
        builder.mount(mount)?;
    }
    builder.clear_workbench()?;
    let mut steps = builder.steps;
    steps.push(Step::Pivot {
        root: c_string(&plan.scaffold)?.into(),
    });
    steps.push(Step::EnterUser);
    // who may not mount needs no table of its own: nobody in the box may change the one it is built in
    if plan.capabilities.contains(&Capability::CAP_SYS_ADMIN) {
        steps.push(Step::OwnMounts);
    }
    steps.extend(plan.guards.processes.map(|processes| Step::Limit { processes }));
    let mask = plan
        .capabilities
        .iter()
        .fold(0u64, |mask, cap| mask | 1 << cap.index());
    steps.push(Step::Capabilities { mask });
    steps.push(Step::Filter {
        sockets: plan.sockets,
    });
    Ok(Steps { common, own: steps })
}

/// The steps that build a root file system on the directory `scaffold`.
pub(crate) fn root_steps(scaffold: &Path, mounts: &[Mount]) -> Result<Vec<Step<'static>>> {
    let mut builder = Builder::new(scaffold);
    builder.root(mounts)?;
    builder.clear_workbench()?;
    Ok(builder.steps)
}

struct Builder<'a> {
    scaffold: &'a Path,
    steps: Vec<Step<'static>>,
    /// Directories that are there already.
    made: Vec<PathBuf>,
    benches: usize,
}

impl<'a> Builder<'a> {
    fn new(scaffold: &'a Path) -> Self {
        Self {
            scaffold,
            steps: Vec::new(),
            made: Vec::new(),
            benches: 0,
        }
    }

    /// Begins the root with these mounts.
    fn root(&mut self, mounts: &[Mount]) -> Result<()> {
        self.steps.push(Step::Tmpfs {
            target: c_string(self.scaffold)?.into(),
            data: c"mode=0755,size=25%,nr_inodes=1m".into(),
        });
        mounts.iter().try_for_each(|mount| self.mount(mount))
    }

    /// Lets go of what was only needed to put trees together.
    fn clear_workbench(&mut self) -> Result<()> {
        if self.benches > 0 {
            let path = self.inside(&Path::new("/").join(WORKBENCH))?;
            self.steps.push(Step::Unmount { path: path.clone() });
            self.steps.push(Step::RemoveDirectory { path });
        }
        Ok(())
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        match mount {
            Mount::Directory { target, mode } => self.mkdir(target, *mode),
            Mount::File { target, content } => self.write(target, content.clone()),
            Mount::Symlink { target, text } => {
                self.parents(target)?;
                let (text, path) = (c_string(text)?.into(), self.inside(target)?);
                self.steps.push(Step::Symlink { text, path });
                Ok(())
            }
            Mount::Tmpfs { target, mode } => {
                self.mkdir(target, *mode)?;
                self.made.retain(|dir| !dir.starts_with(target) || dir == target);
                let data = c_string(OsStr::new(&tmpfs_options(target, *mode)))?.into();
                let target = self.inside(target)?;
                self.steps.push(Step::Tmpfs { target, data });
                Ok(())
            }
            Mount::Bind {
                source,
                target,
                writable,
                idmap,
            } => self.bind(source, target, !writable, *idmap, false),
            Mount::Device { name } => {
                let source = Source {
                    root: "/dev".into(),
                    path: name.into(),
                    optional: false,
                };
                self.bind(&source, &Path::new("/dev").join(name), false, Idmap::None, true)
            }
            Mount::Node { source, target } => {
                self.bind(&Source::at(source), target, false, Idmap::None, true)
            }
            Mount::Tree { layers, target } => {
                self.mkdir(target, 0o755)?;
                let target = self.inside(target)?;
                self.tree(layers, target)
            }
            Mount::TreeParts { layers, parts } => self.tree_parts(layers, parts),
            Mount::Proc => self.proc(),
            Mount::Sys => {
                self.mkdir(Path::new("/sys"), 0o755)?;
                let target = self.inside(Path::new("/sys"))?;
                self.steps.push(Step::Sys { target });
                Ok(())
            }
        }
    }

    fn bind(
        &mut self,
        source: &Source,
        target: &Path,
        read_only: bool,
        idmap: Idmap,
        devices: bool,
    ) -> Result<()> {
        // the step makes the target: a file or a directory, as the source is
        self.parents(target)?;
        let step = Step::Clone {
            root: c_string(&source.root)?.into(),
            path: c_string(&source.path)?.into(),
            target: self.inside(target)?,
            read_only,
            idmap,
            devices,
            optional: source.optional,
            follow: false,
        };
        self.steps.push(step);
        Ok(())
    }

    /// A fresh directory on the workbench: a tmpfs that is gone when the module starts.
    fn bench(&mut self) -> Result<PathBuf> {
        let workbench = Path::new("/").join(WORKBENCH);
        if self.benches == 0 {
            self.mount(&Mount::Tmpfs {
                target: workbench.clone(),
                mode: 0o755,
            })?;
        }
        self.benches += 1;
        let bench = workbench.join(self.benches.to_string());
        self.mkdir(&bench, 0o755)?;
        Ok(bench)
    }

    /// Puts a tree together on the workbench and attaches it at `target` (a path of the host).
    fn tree(&mut self, layers: &Layers, target: Text<'static>) -> Result<()> {
        let read_only = layers.changes.is_none();
        if layers.plain {
            return self.plain_tree(layers, target);
        }
        if layers.lower.is_empty() && read_only {
            // an empty tree is the empty directory that is there
            return Ok(());
        }
        if let (true, [single]) = (read_only, &layers.lower[..]) {
            // one read-only layer is the tree
            self.clone_layer(single, target, true)?;
            return Ok(());
        }
        let bench = self.bench()?;
        let mut lower = Vec::new();
        for (index, layer) in layers.lower.iter().enumerate() {
            let place = bench.join(index.to_string());
            self.mkdir(&place, 0o755)?;
            let at = self.inside(&place)?;
            self.clone_layer(layer, at, true)?;
            lower.push(index.to_string());
        }
        // without this the kernel writes an id into the directory of the changes; it takes it for layers of one file system
        let mut more = ",uuid=off";
        // an overlay wants a layer below the changes: an empty directory makes up for it
        if lower.is_empty() {
            self.mkdir(&bench.join("empty"), 0o755)?;
            lower.push("empty".into());
            more = "";
        }
        let mut data = format!(
            "lowerdir={},index=off,metacopy=off,xino=off{more}",
            lower.join(":")
        );
        // in a user namespace of one's own the kernel takes no other marks, and no directory redirects
        let (reads, writes) = match rootless::is_in_first_namespace() {
            true => (",redirect_dir=follow", ",redirect_dir=on"),
            false => (",userxattr", ",userxattr"),
        };
        match &layers.changes {
            None => data.push_str(reads),
            Some(changes) => {
                let place = bench.join("changes");
                self.mkdir(&place, 0o755)?;
                let at = self.inside(&place)?;
                self.clone_layer(changes, at, false)?;
                // volatile: nothing is synced while the module runs; the store does it once
                data.push_str(writes);
                data.push_str(",upperdir=changes/upper,workdir=changes/work,volatile");
            }
        }
        let bench = self.inside(&bench)?;
        let data = c_string(OsStr::new(&data))?.into();
        self.steps.push(Step::Overlay {
            bench,
            data,
            target,
            read_only,
        });
        // the overlay keeps clones of its own; these go with the workbench
        Ok(())
    }

    fn plain_tree(&mut self, layers: &Layers, target: Text<'static>) -> Result<()> {
        let root = match (&layers.changes, &layers.lower[..]) {
            (Some(changes), []) => c_string(changes.join("upper"))?,
            (None, [single]) => c_string(single)?,
            _ => return Err(Error::Plan("a plain tree is one directory".into())),
        };
        self.steps.push(Step::Clone {
            root: root.into(),
            path: c".".into(),
            target,
            read_only: layers.changes.is_none(),
            idmap: Idmap::None,
            devices: false,
            optional: false,
            follow: false,
        });
        Ok(())
    }

    fn clone_layer(&mut self, layer: &Path, target: Text<'static>, read_only: bool) -> Result<()> {
        self.steps.push(Step::Clone {
            root: c_string(layer)?.into(),
            path: c".".into(),
            target,
            read_only,
            idmap: Idmap::Required,
            devices: false,
            optional: false,
            follow: false,
        });
        Ok(())
    }

    fn tree_parts(&mut self, layers: &Layers, parts: &[Part]) -> Result<()> {
        let place = self.bench()?.join("tree");
        self.mkdir(&place, 0o755)?;
        let root = self.inside(&place)?;
        self.tree(layers, root.clone())?;
        for part in parts {
            self.parents(&part.target)?;
            let target = self.inside(&part.target)?;
            // the tree is mapped already, and a clone of a clone stays so
            self.steps.push(Step::Clone {
                root: root.clone(),
                path: c_string(&part.path)?.into(),
                target,
                read_only: true,
                idmap: Idmap::None,
                devices: false,
                optional: part.optional,
                follow: !part.optional,
            });
        }
        Ok(())
    }

    fn proc(&mut self) -> Result<()> {
        self.mkdir(Path::new("/proc"), 0o755)?;
        let target = self.inside(Path::new("/proc"))?;
        self.steps.push(Step::Proc { target });
        for path in ["sys", "irq", "bus", "fs"] {
            let path = self.inside(&Path::new("/proc").join(path))?;
            self.steps.push(Step::Protect { path });
        }
        for path in [
            "sysrq-trigger",
            "kcore",
            "keys",
            "key-users",
            "timer_list",
            "kmsg",
        ] {
            let path = self.inside(&Path::new("/proc").join(path))?;
            self.steps.push(Step::Mask { path });
        }
        Ok(())
    }

    fn write(&mut self, target: &Path, content: Vec<u8>) -> Result<()> {
        self.parents(target)?;
        let path = self.inside(target)?;
        self.steps.push(Step::Write {
            path,
            content: content.into(),
        });
        Ok(())
    }

    fn mkdir(&mut self, target: &Path, mode: u32) -> Result<()> {
        if self.made.iter().any(|dir| dir == target) {
            return Ok(());
        }
        self.parents(target)?;
        let path = self.inside(target)?;
        self.steps.push(Step::Mkdir { path, mode });
        self.made.push(target.to_owned());
        Ok(())
    }

    fn parents(&mut self, target: &Path) -> Result<()> {
        match target.parent() {
            Some(parent) if parent != Path::new("/") => self.mkdir(parent, 0o755),
            _ => Ok(()),
        }
    }

    /// The path of the host for a path in the box.
    fn inside(&self, target: &Path) -> Result<Text<'static>> {
        let relative = target
            .strip_prefix("/")
            .map_err(|_| Error::Plan(format!("{} is not absolute", target.display())))?;
        Ok(c_string(self.scaffold.join(relative))?.into())
    }
}

/// A box's memory file systems do not take all of the memory, not even together.
fn tmpfs_options(target: &Path, mode: u32) -> String {
    let percent = match target.to_str() {
        Some("/tmp") => 40,
        Some("/dev/shm") => 20,
        _ => 5,
    };
    format!("mode={mode:o},size={percent}%,nr_inodes=1m")
}

/// A text as the kernel takes it.
pub(crate) fn c_string(path: impl AsRef<OsStr>) -> Result<CString> {
    let path = path.as_ref();
    CString::new(path.as_bytes()).map_err(|_| Error::Plan(format!("{path:?} has a NUL byte")))
}
