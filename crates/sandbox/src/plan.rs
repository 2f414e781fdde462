//! A box as data.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use caps::Capability;
use serde::{Deserialize, Serialize};

use crate::{Guard, Guards};

/// The capabilities that modules are written for, within the user namespace of the box. The list is the Python
/// osbuild's, without those that act outside a namespace.
pub const DEFAULT_CAPABILITIES: &[Capability] = &[
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_LINUX_IMMUTABLE,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_NICE,
    Capability::CAP_SYS_RESOURCE,
    // package scripts signal processes of other users that they started themselves
    Capability::CAP_KILL,
];

/// What a process in the box sees, may do and is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// An empty directory of the host on which the root is built; nothing stays in it.
    pub scaffold: PathBuf,
    /// The root file system, in the order given. A later entry may lie on an earlier one.
    pub mounts: Vec<Mount>,
    /// How many of them, from the first one on, boxes that are [begun](crate::Nursery) ahead have as well: what they show is
    /// the same whenever it is mounted.
    #[serde(default)]
    pub common: usize,
    pub hostname: String,
    pub capabilities: Vec<Capability>,
    /// Whether what runs in the box may make sockets. Where it may not, nothing in its network namespace ever changes, and
    /// boxes that a [nursery](crate::Nursery) begins have one together.
    pub sockets: bool,
    pub guards: Guards,
    pub command: Command,
}

/// The program that runs in the box.
#[derive(Debug, Serialize, Deserialize)]
pub struct Command {
    /// Its path in the box.
    pub program: PathBuf,
    /// All arguments, the first one included.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads; `None` is `/dev/null`. It is not part of the text of a plan.
    #[serde(skip)]
    pub stdin: Option<OwnedFd>,
}

/// One thing of the root file system. Targets are absolute paths in the box; directories on the way are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// An empty directory with these permission bits.
    Directory {
        target: PathBuf,
        mode: u32,
    },
    /// A file with this content, mode 0644.
    File {
        target: PathBuf,
        content: Vec<u8>,
    },
    Symlink {
        target: PathBuf,
        text: PathBuf,
    },
    /// A file system in memory.
    Tmpfs {
        target: PathBuf,
        mode: u32,
    },
    /// A directory or file of the host.
    Bind {
        source: Source,
        target: PathBuf,
        writable: bool,
        idmap: Idmap,
    },
    /// A device node of the host, such as `null`, at `/dev/NAME`.
    Device {
        name: String,
    },
    /// A device node of the host, whatever it is called, at `target`.
    Node {
        source: PathBuf,
        target: PathBuf,
    },
    /// The stacked layers of a tree.
    Tree {
        layers: Layers,
        target: PathBuf,
    },
    /// Parts of a tree, read-only.
    TreeParts {
        layers: Layers,
        parts: Vec<Part>,
    },
    /// The processes of the box, with the switches of the kernel out of reach.
    Proc,
    /// The devices as the kernel tells them, read-only.
    Sys,
}

/// A path of the host: everything below `path` is resolved inside `root`, without following links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub root: PathBuf,
    pub path: PathBuf,
    /// Whether a source that is not there is passed over.
    pub optional: bool,
}

/// A directory or file of a tree and where it appears in the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Relative to the tree's root. Links are followed inside the tree, unless the part is optional.
    pub path: PathBuf,
    pub target: PathBuf,
    /// Whether a part that is not there, or is a link, is passed over.
    pub optional: bool,
}

/// How owners on disk appear in the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Idmap {
    /// As they are: uid 0 on disk is uid 0 in the box.
    Required,
    /// The same where the file system can do it, else they look like nobody.
    Wanted,
    /// Not at all: the host's ids, which the box does not know.
    None,
}

/// A tree as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layers {
    /// Read-only directories, topmost first.
    pub lower: Vec<PathBuf>,
    /// A directory with `upper` and `work`, where changes go; `None` makes the tree read-only.
    pub changes: Option<PathBuf>,
    /// Whether the tree is one directory whose files belong to the box's users already: the only one of `lower`, or `upper`
    /// of `changes`. For file systems that can be no layer.
    pub plain: bool,
}

impl Source {
    /// The directory or file `path` itself.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            root: path.into(),
            path: PathBuf::new(),
            optional: false,
        }
    }

    /// The same, passed over where it is not there.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

impl Plan {
    /// Whether the box needs a network namespace that no other box has: it may make sockets, or nobody keeps it from that.
    pub(crate) fn needs_network(&self) -> bool {
        self.sockets || self.guards.optional.contains(&Guard::Seccomp)
    }

    /// The part of the root that is the same for every module: memory file systems, devices, `/proc`, `/sys`, the
    /// links of a merged `/usr`.
    pub fn skeleton() -> Vec<Mount> {
        let mut mounts = Vec::new();
        for (target, text) in [
            ("/bin", "usr/bin"),
            ("/sbin", "usr/sbin"),
            ("/lib", "usr/lib"),
            ("/lib64", "usr/lib64"),
        ] {
            mounts.push(Mount::Symlink {
                target: target.into(),
                text: text.into(),
            });
        }
        // these two lie in the memory file system of the root: each more of them costs every box its making and its end
        mounts.push(Mount::Directory {
            target: "/run".into(),
            mode: 0o755,
        });
        mounts.push(Mount::Directory {
            target: "/dev".into(),
            // in a sticky directory that all can write, `> /dev/null` fails: the node's owner is none of the box's
            // (fs.protected_regular)
            mode: 0o755,
        });
        for name in ["full", "null", "random", "tty", "urandom", "zero"] {
            mounts.push(Mount::Device { name: name.into() });
        }
        mounts.push(Mount::Tmpfs {
            target: "/dev/shm".into(),
            mode: 0o1777,
        });
        mounts.push(Mount::Directory {
            target: "/etc".into(),
            mode: 0o755,
        });
        mounts.push(Mount::Tmpfs {
            target: "/tmp".into(),
            mode: 0o1777,
        });
        mounts.push(Mount::Proc);
        mounts.push(Mount::Sys);
        mounts
    }

    /// The links of `/dev` to what a process has open, which programs expect and the Python osbuild does not have.
    pub fn device_links() -> Vec<Mount> {
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
        ];
        let link = |(name, text): (&str, &str)| Mount::Symlink {
            target: format!("/dev/{name}").into(),
            text: text.into(),
        };
        links.map(link).into()
    }
}
