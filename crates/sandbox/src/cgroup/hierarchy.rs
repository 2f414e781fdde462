//! The hierarchies of control groups that are mounted, and where in them we may make a group.

use std::io;
use std::path::{Path, PathBuf};

use super::Limits;

/// A part of the kernel that enforces one kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Processes,
    Cpu,
}

/// The period over which CPU time is shared out, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

impl Controller {
    /// Those that these limits need.
    pub(super) fn of(limits: &Limits) -> Vec<Self> {
        let wanted = [
            limits.memory.map(|_| Self::Memory),
            limits.processes.map(|_| Self::Processes),
            limits.cpus.map(|_| Self::Cpu),
        ];
        wanted.into_iter().flatten().collect()
    }

    /// The kernel's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// What it limits, for a message.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "the number of processes",
            Self::Cpu => "CPU time",
        }
    }

    /// Writes the limit into a group's directory.
    pub(super) fn set(self, hierarchy: &Hierarchy, dir: &Path, limits: &Limits) -> io::Result<()> {
        let write = |name: &str, value: String| std::fs::write(dir.join(name), value);
        match (self, hierarchy.unified) {
            (Self::Memory, true) => {
                let bytes = limits.memory.unwrap_or(u64::MAX);
                write("memory.max", bytes.to_string())?;
                // where the kernel accounts for no swap there is no such file
                absent_is_fine(write("memory.swap.max", "0".into()))
            }
            (Self::Memory, false) => {
                let bytes = limits.memory.unwrap_or(u64::MAX);
                write("memory.limit_in_bytes", bytes.to_string())?;
                absent_is_fine(write("memory.memsw.limit_in_bytes", bytes.to_string()))
            }
            (Self::Processes, _) => write("pids.max", limits.processes.unwrap_or(u64::MAX).to_string()),
            (Self::Cpu, unified) => {
                let cpus = limits.cpus.unwrap_or(f64::from(u16::MAX));
                let quota = ((cpus * PERIOD as f64) as u64).max(1000);
                match unified {
                    true => write("cpu.max", format!("{quota} {PERIOD}")),
                    false => write("cpu.cfs_quota_us", quota.to_string()),
                }
            }
        }
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// A mounted hierarchy and our own place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Version 2, with all controllers in one.
    pub(super) unified: bool,
    /// Those of version 1, by the kernel's names.
    controllers: Vec<String>,
    mount: PathBuf,
    /// The directory of our own group.
    own: PathBuf,
}

/// The hierarchies of a mount table (`/proc/self/mountinfo`) in which `own` (`/proc/self/cgroup`) has a group.
pub(super) fn mounted(table: &str, own: &str) -> Vec<Hierarchy> {
    table.lines().filter_map(|line| of_line(line, own)).collect()
}

/// ```text
/// 36 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
///            └─ root of the mount                  └─ type       └─ controllers
/// ```
fn of_line(line: &str, own: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, PathBuf::from(left.next()?));
    let mut right = right.split(' ');
    let unified = match right.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let controllers: Vec<String> = right.next_back()?.split(',').map(str::to_owned).collect();
    let mut groups = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let (_, group) = groups.find(|(names, _)| match unified {
        true => names.is_empty(),
        false => names
            .split(',')
            .any(|name| !name.is_empty() && controllers.iter().any(|c| c == name)),
    })?;
    // a container sees its own part of a hierarchy alone
    let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
    Some(Hierarchy {
        unified,
        own: mount.join(below),
        controllers,
        mount,
    })
}

impl Hierarchy {
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.unified || self.controllers.iter().any(|name| name == controller.name())
    }

    /// Where a group may be made, best first. In version 2 a group with processes has no groups with controllers below
    /// it, so that ours comes to lie beside our own one, or higher: [`make`](Self::make) refuses the others.
    pub(super) fn parents(&self) -> Vec<PathBuf> {
        let ancestors = self
            .own
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.mount));
        let count = if self.unified { usize::MAX } else { 1 };
        ancestors.take(count).map(Path::to_owned).collect()
    }

    /// Makes a group that has the controller, under the first of `names` that is free.
    pub(super) fn make(
        &self,
        parent: &Path,
        names: impl Iterator<Item = String>,
        controller: Controller,
    ) -> io::Result<PathBuf> {
        self.enable(parent, controller)?;
        let dir = create(parent, names)?;
        match is_domain(&dir) {
            true => Ok(dir),
            false => {
                let _ = std::fs::remove_dir(&dir);
                let why = "it is among groups of threads, and takes no processes";
                Err(at(&dir, &io::Error::other(why)))
            }
        }
    }

    /// Has the groups below `parent` have the controller, those too that are there.
    pub(super) fn enable(&self, parent: &Path, controller: Controller) -> io::Result<()> {
        if !self.unified {
            return Ok(());
        }
        if has_processes(parent) {
            let why = "there are processes in it, and so no groups with limits below it";
            return Err(at(parent, &io::Error::other(why)));
        }
        if offers_below(parent, controller) {
            return Ok(());
        }
        let file = parent.join("cgroup.subtree_control");
        std::fs::write(&file, format!("+{}", controller.name())).map_err(|e| at(&file, &e))
    }
}

/// Makes a group under the first of `names` that is free. Numbers of namespaces and processes come again, and whoever had
/// them before may have been killed: a group that such a one left is removed. The kernel does not remove one with processes.
fn create(parent: &Path, names: impl Iterator<Item = String>) -> io::Result<PathBuf> {
    let mut failure = io::ErrorKind::AlreadyExists.into();
    for dir in names.map(|name| parent.join(name)) {
        let mut made = std::fs::create_dir(&dir);
        if made.as_ref().is_err_and(is_taken) && std::fs::remove_dir(&dir).is_ok() {
            made = std::fs::create_dir(&dir);
        }
        match made {
            Ok(()) => return Ok(dir),
            Err(e) if is_taken(&e) => failure = at(&dir, &e),
            Err(e) => return Err(at(&dir, &e)),
        }
    }
    Err(failure)
}

fn is_taken(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AlreadyExists
}

fn at(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// Whether a group (version 2) has processes of its own. The topmost one may have them and groups below it all the same.
/// Some controllers can be enabled below any other, but then what lies there takes threads alone.
fn has_processes(dir: &Path) -> bool {
    let is_topmost = !dir.join("cgroup.type").exists();
    // a group of threads does not tell which processes they are of
    let is_empty = std::fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|text| text.is_empty());
    !is_topmost && !is_empty
}

/// Whether processes may be put into a group.
fn is_domain(dir: &Path) -> bool {
    let kind = std::fs::read_to_string(dir.join("cgroup.type"));
    // version 1 knows nothing else
    kind.map_or(true, |kind| {
        kind.starts_with("domain") && !kind.contains("invalid")
    })
}

/// Whether the groups below `parent` (version 2) have the controller.
fn offers_below(parent: &Path, controller: Controller) -> bool {
    std::fs::read_to_string(parent.join("cgroup.subtree_control"))
        .is_ok_and(|text| text.split_whitespace().any(|name| name == controller.name()))
}

/// How the names of a process's groups begin: with whose numbers the number is one of, as a container has its own.
pub(super) fn prefix(pid: u32) -> String {
    use std::os::unix::fs::MetadataExt;
    let numbers = std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino());
    format!("osbuild-{numbers}-{pid}-")
}

/// Removes the groups of processes that are no more.
pub(super) fn collect(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            let pid = name.rsplit('-').nth(1)?.parse::<u32>().ok()?;
            name.starts_with(&prefix(pid)).then_some(pid)
        });
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // one with processes in it stays
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_a_place_for_each_controller() {
        let table = "36 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                     37 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                     22 1 8:1 / / rw - ext4 /dev/vda rw\n";
        let own = "4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=systemd:/x\n";
        let found = mounted(table, own);
        assert_eq!(found.len(), 2);
        assert!(found[0].has(Controller::Memory) && !found[0].has(Controller::Cpu));
        assert_eq!(found[0].parents(), [Path::new("/sys/fs/cgroup/memory/a/b")]);
        assert_eq!(found[1].own, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn a_container_sees_its_part_of_a_hierarchy() {
        let table = "36 31 0:31 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let found = mounted(table, "0::/docker/1/sub\n");
        let parents = found[0].parents();
        assert_eq!(
            parents,
            [Path::new("/sys/fs/cgroup/sub"), Path::new("/sys/fs/cgroup")]
        );
    }

    #[test]
    fn the_groups_of_the_dead_are_collected() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, alive) = (
            format!("{}0", prefix(u32::MAX)),
            format!("{}0", prefix(std::process::id())),
        );
        let elsewhere = format!("osbuild-1-{}-0", u32::MAX);
        for name in [&dead, &alive, &elsewhere] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        collect(dir.path());
        assert!(!dir.path().join(dead).exists());
        assert!(dir.path().join(alive).exists() && dir.path().join(elsewhere).exists());
    }
}
