//! The thread that keeps a machine: it has a mount table of its own, in which the shared directory is put together, and
//! starts virtiofsd and QEMU, which die with it.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use sandbox::{Idmap, Killer, Layers, Mount, Source, UserNamespace};
use tree::Tree;

use crate::kernel::Kernel;
use crate::process::Process;
use crate::{Description, Error, Result, initrd, qemu, share};

/// What can be asked of a keeper; the answer says how it went.
pub(crate) enum Ask {
    /// To show these mounts to the guest; the answer says where.
    Lend(Vec<OwnedFd>, Sender<Result<Vec<PathBuf>>>),
    /// To show none of those any more.
    TakeBack(Sender<Result<()>>),
}

/// Where the guest finds what is lent.
const LENT: &str = "/.lent";

/// The names of files in the scratch directory.
pub(crate) const CONSOLE: &str = "console";
pub(crate) const SAID: [&str; 2] = ["qemu.log", "virtiofsd.log"];

/// Makes the machine, says so, and does what is asked until nobody can ask any more.
pub(crate) fn keep(
    description: &Description,
    channel: OwnedFd,
    started: &Sender<Result<Killer>>,
    asks: &Receiver<Ask>,
) {
    let mut keeper = match Keeper::begin(description, channel) {
        Ok(keeper) => keeper,
        Err(error) => return drop(started.send(Err(error))),
    };
    let killer = keeper.qemu.killer();
    if started.send(killer).is_ok() {
        for ask in asks {
            // whoever asked may be gone
            let _ = match ask {
                Ask::Lend(mounts, answer) => answer.send(keeper.lend(&mounts)).is_ok(),
                Ask::TakeBack(answer) => answer.send(keeper.take_back()).is_ok(),
            };
        }
    }
}

/// Fields go in this order: the machine first, then what serves it.
struct Keeper {
    qemu: Process,
    _virtiofsd: Process,
    dir: PathBuf,
    /// The numbers of what is lent. None comes twice: the guest may remember what it found under one.
    lent: Range<usize>,
}

impl Keeper {
    fn begin(description: &Description, channel: OwnedFd) -> Result<Self> {
        let scratch = &description.scratch;
        let file = |name: &str| scratch.join(name);
        sandbox::own_mount_table()?;
        let kernel = kernel(description)?;
        let (image, archive) = (file("kernel"), file("initrd"));
        std::fs::write(&image, &kernel.image).map_err(|e| Error::io("write", &image, e))?;
        initrd::write(&archive, &description.agent, &kernel)?;
        let dir = make(&file("share"))?;
        let mounts: Vec<Mount> = ["/dev", "/proc", "/sys", "/run", "/tmp", LENT]
            .iter()
            .map(|target| Mount::Directory {
                target: target.into(),
                mode: 0o755,
            })
            .chain([Mount::Bind {
                source: Source::at(&description.writable),
                target: description.writable.clone(),
                writable: true,
                idmap: Idmap::None,
            }])
            .collect();
        sandbox::attach(&dir, &mounts, &UserNamespace::of_host())?;
        let (virtiofsd, socket) = share::serve(&dir, &file(SAID[1]))?;
        let qemu = qemu::start(&qemu::Parts {
            kernel: &image,
            initrd: &archive,
            console: &file(CONSOLE),
            said: &file(SAID[0]),
            sockets: [socket, channel],
            processor: description.processor,
        })?;
        Ok(Self {
            qemu,
            _virtiofsd: virtiofsd,
            dir,
            lent: 0..0,
        })
    }

    fn lend(&mut self, mounts: &[OwnedFd]) -> Result<Vec<PathBuf>> {
        let attach = |mount| {
            let name = self.lent.end.to_string();
            sandbox::attach_clone(mount, &self.place(self.lent.end))?;
            self.lent.end += 1;
            Ok(Path::new(LENT).join(name))
        };
        mounts.iter().map(attach).collect()
    }

    fn take_back(&mut self) -> Result<()> {
        while let Some(number) = self.lent.next() {
            sandbox::detach(&self.place(number))?;
        }
        Ok(())
    }

    /// The host's path of what the guest sees under that number.
    fn place(&self, number: usize) -> PathBuf {
        self.dir
            .join(LENT.trim_start_matches('/'))
            .join(number.to_string())
    }
}

/// Reads the kernel out of the tree, which is mounted for no longer than that.
fn kernel(description: &Description) -> Result<Kernel> {
    let dir = make(&description.scratch.join("build"))?;
    let tree = Mount::Tree {
        layers: Layers {
            lower: description.layers.clone(),
            changes: None,
            ..Layers::default()
        },
        target: "/tree".into(),
    };
    sandbox::attach(&dir, &[tree], &UserNamespace::of_host())?;
    let kernel = Tree::open(dir.join("tree"))
        .map_err(Error::from)
        .and_then(|tree| Kernel::find(&tree));
    sandbox::detach(&dir)?;
    kernel
}

fn make(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)
        .map(|()| dir.to_owned())
        .map_err(|e| Error::io("make", dir, e))
}
