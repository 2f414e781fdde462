//! How much of the machine boxes may take together: a control group.
//!
//! ```text
//! version 2   one directory for all limits, beside or below our own group: the nearest one that lets us make it
//! version 1   one directory for each controller, below our own group of that controller
//! name        osbuild-NAMESPACE-PID-N; what a killed process left is removed by the next one that comes by
//! ```
//! Files and their meaning: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

mod hierarchy;

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};
use hierarchy::{Controller, Hierarchy};

/// What boxes may take. `None`: no limit of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory, the files that it caches and swap included.
    pub memory: Option<u64>,
    /// Processes and threads at a time.
    pub processes: Option<u64>,
    /// How many CPUs' worth of time, such as 1.5.
    pub cpus: Option<f64>,
}

/// How often a limit was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hits {
    /// Processes that were killed for want of memory.
    pub memory: u64,
    /// Processes that were not started.
    pub processes: u64,
}

/// A control group of ours, removed when dropped.
#[derive(Debug)]
pub struct Group {
    /// Each directory once.
    dirs: Vec<PathBuf>,
    /// How often these limits were met.
    memory: Option<Counter>,
    processes: Option<Counter>,
}

/// A number in a file of the kernel's, which stays open: it is read twice a stage.
#[derive(Debug)]
struct Counter {
    file: File,
    word: &'static str,
}

/// A way into a directory of a group.
#[derive(Debug)]
pub(crate) enum Door<'a> {
    /// A thread goes in that writes `0` here.
    Itself(OwnedFd),
    /// Somebody else puts the process in.
    Other(&'a Path),
}

impl Door<'_> {
    /// What a thread that goes itself writes to.
    pub(crate) fn itself(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Itself(tasks) => Some(tasks.as_fd()),
            Self::Other(_) => None,
        }
    }

    /// Puts in a process that does not go itself, with what it will start.
    pub(crate) fn put(&self, pid: libc::pid_t) -> Result<()> {
        match self {
            Self::Itself(_) => Ok(()),
            Self::Other(dir) => std::fs::write(dir.join("cgroup.procs"), pid.to_string())
                .map_err(|e| Error::setup(format!("joining the control group {}", dir.display()), e)),
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// So many names are tried where others are taken.
const ATTEMPTS: usize = 100;

/// Names of groups that this process has not had.
fn names() -> impl Iterator<Item = String> {
    let prefix = hierarchy::prefix(std::process::id());
    let next = move || format!("{prefix}{}", COUNT.fetch_add(1, Ordering::Relaxed));
    std::iter::repeat_with(next).take(ATTEMPTS)
}

impl Group {
    /// Makes a group with these limits below the first that allows it.
    ///
    /// # Errors
    /// [`Error::Limit`] with the first limit that cannot be enforced, and why.
    pub fn new(limits: &Limits) -> Result<Self> {
        let table = std::fs::read_to_string("/proc/self/mountinfo");
        let own = std::fs::read_to_string("/proc/self/cgroup");
        let (table, own) = table
            .and_then(|table| Ok((table, own?)))
            .map_err(|e| Error::setup("reading which control group we are in", e))?;
        Self::within(limits, &hierarchy::mounted(&table, &own))
    }

    fn within(limits: &Limits, hierarchies: &[Hierarchy]) -> Result<Self> {
        let mut group = Self {
            dirs: Vec::new(),
            memory: None,
            processes: None,
        };
        for controller in Controller::of(limits) {
            let fail = |source: std::io::Error| Error::Limit {
                what: controller.what(),
                source,
            };
            let (hierarchy, dir) = group.directory(controller, hierarchies).map_err(fail)?;
            controller.set(&hierarchy, &dir, limits).map_err(fail)?;
            match controller {
                Controller::Memory => {
                    let name = match hierarchy.unified {
                        true => "memory.events",
                        false => "memory.oom_control",
                    };
                    group.memory = Counter::open(&dir.join(name), "oom_kill");
                }
                Controller::Processes => group.processes = Counter::open(&dir.join("pids.events"), "max"),
                Controller::Cpu => {}
            }
        }
        Ok(group)
    }

    /// The group's directory for a controller, made if it is the first to want it.
    fn directory(
        &mut self,
        controller: Controller,
        hierarchies: &[Hierarchy],
    ) -> std::io::Result<(Hierarchy, PathBuf)> {
        let mut failure = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("no control group controller `{}` is mounted", controller.name()),
        );
        for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.has(controller)) {
            for parent in hierarchy.parents() {
                let there = self.dirs.iter().find(|dir| dir.parent() == Some(&parent));
                let made = match there {
                    Some(dir) => hierarchy.enable(&parent, controller).map(|()| dir.clone()),
                    None => hierarchy.make(&parent, names(), controller),
                };
                match made {
                    Ok(dir) => {
                        if !self.dirs.contains(&dir) {
                            hierarchy::collect(&parent);
                            self.dirs.push(dir.clone());
                        }
                        return Ok((hierarchy.clone(), dir));
                    }
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    /// The ways into the group: for each directory one that a thread goes itself, where there is one (version 1).
    ///
    /// To move another process the kernel waits until none is just being forked anywhere (`cgroup_threadgroup_rwsem`), which
    /// takes several milliseconds; a thread that moves itself waits for nobody.
    pub(crate) fn doors(&self) -> Vec<Door<'_>> {
        fn door(dir: &Path) -> Door<'_> {
            match OpenOptions::new().write(true).open(dir.join("tasks")) {
                Ok(tasks) => Door::Itself(tasks.into()),
                Err(_) => Door::Other(dir),
            }
        }
        self.dirs.iter().map(|dir| door(dir)).collect()
    }

    /// How often each limit was met so far.
    pub fn hits(&self) -> Hits {
        let read = |counter: &Option<Counter>| counter.as_ref().and_then(Counter::read);
        Hits {
            memory: read(&self.memory).unwrap_or_default(),
            processes: read(&self.processes).unwrap_or_default(),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // the kernel lets go of the last process a moment after it was reaped; what stays all the same is collected
            // by the next process that comes by
            let gone = |_: &u32| {
                std::fs::remove_dir(dir).is_ok() || {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    false
                }
            };
            let _ = (0..100).find(gone);
        }
    }
}

impl Counter {
    /// The number after `word` in a file of `word number` lines. A kernel that does not count has no such file.
    fn open(file: &Path, word: &'static str) -> Option<Self> {
        File::open(file).ok().map(|file| Self { file, word })
    }

    fn read(&self) -> Option<u64> {
        // several times as long as these files are
        let mut bytes = [0; 1024];
        let length = self.file.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, number) = lines.find(|(name, _)| *name == self.word)?;
        number.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2_TABLE: &str = "31 23 0:28 / MOUNT rw,relatime - cgroup2 cgroup2 rw\n";

    /// A directory that looks like a unified hierarchy, with our own group in it; controllers are enabled where named.
    fn unified(enabled: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("user.slice/session.scope")).unwrap();
        for place in ["", "user.slice", "user.slice/session.scope"] {
            let file = dir.path().join(place).join("cgroup.subtree_control");
            // one that cannot be written, as in a group with processes
            match enabled.contains(&place) {
                true => std::fs::write(file, "cpu memory pids").unwrap(),
                false => std::fs::create_dir(file).unwrap(),
            }
        }
        dir
    }

    fn hierarchies(dir: &tempfile::TempDir) -> Vec<Hierarchy> {
        let table = V2_TABLE.replace("MOUNT", dir.path().to_str().unwrap());
        hierarchy::mounted(&table, "0::/user.slice/session.scope\n")
    }

    #[test]
    fn the_nearest_group_that_hands_out_the_controllers_is_taken() {
        let dir = unified(&["user.slice"]);
        let limits = Limits {
            memory: Some(1 << 30),
            processes: Some(100),
            cpus: Some(1.5),
        };
        let group = Group::within(&limits, &hierarchies(&dir)).unwrap();
        let [made] = &group.dirs[..] else {
            panic!("{group:?}")
        };
        assert_eq!(made.parent().unwrap(), dir.path().join("user.slice"));
        let read = |name: &str| std::fs::read_to_string(made.join(name)).unwrap();
        assert_eq!(read("memory.max"), "1073741824");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("pids.max"), "100");
        assert_eq!(read("cpu.max"), "150000 100000");
        // in this stand-in, unlike in the kernel's, the files are in the way of removing the directory
        std::fs::remove_dir_all(made).unwrap();
        std::mem::forget(group);
    }

    #[test]
    fn a_group_with_processes_is_left_as_it_is() {
        let dir = unified(&["", "user.slice", "user.slice/session.scope"]);
        let session = dir.path().join("user.slice/session.scope");
        for (group, processes) in [(dir.path().join("user.slice"), ""), (session.clone(), "17\n")] {
            std::fs::write(group.join("cgroup.type"), "domain\n").unwrap();
            std::fs::write(group.join("cgroup.procs"), processes).unwrap();
        }
        let limits = Limits {
            processes: Some(100),
            ..Limits::default()
        };
        let group = Group::within(&limits, &hierarchies(&dir)).unwrap();
        assert_eq!(group.dirs[0].parent().unwrap(), dir.path().join("user.slice"));
        std::fs::remove_dir_all(&group.dirs[0]).unwrap();
        std::mem::forget(group);
    }

    /// Directories with the names that the next groups would have.
    fn left_by_another(parent: &Path) -> Vec<PathBuf> {
        let next = COUNT.load(Ordering::Relaxed);
        // other tests make groups meanwhile
        let names = (next..next + 20).map(|n| format!("{}{n}", hierarchy::prefix(std::process::id())));
        let left: Vec<_> = names.map(|name| parent.join(name)).collect();
        for dir in &left {
            std::fs::create_dir(dir).unwrap();
        }
        left
    }

    #[test]
    fn groups_that_another_with_our_numbers_left_are_not_in_the_way() {
        let limits = Limits {
            processes: Some(100),
            ..Limits::default()
        };
        for processes in [None, Some("17\n")] {
            let dir = unified(&["user.slice"]);
            let slice = dir.path().join("user.slice");
            let left = left_by_another(&slice);
            for dir in &left {
                let write = |text| std::fs::write(dir.join("cgroup.procs"), text).unwrap();
                processes.map(write);
            }
            let group = Group::within(&limits, &hierarchies(&dir)).unwrap();
            assert_eq!(group.dirs[0].parent().unwrap(), slice);
            assert_eq!(left.contains(&group.dirs[0]), processes.is_none());
            assert!(
                left.iter()
                    .all(|dir| !dir.join("pids.max").exists() || *dir == group.dirs[0])
            );
            std::fs::remove_dir_all(&group.dirs[0]).unwrap();
            std::mem::forget(group);
        }
    }

    #[test]
    fn controllers_are_enabled_one_by_one_for_one_group() {
        let dir = unified(&["user.slice"]);
        let slice = dir.path().join("user.slice");
        std::fs::write(slice.join("cgroup.subtree_control"), "").unwrap();
        let limits = Limits {
            memory: Some(1 << 30),
            processes: Some(100),
            ..Limits::default()
        };
        let group = Group::within(&limits, &hierarchies(&dir)).unwrap();
        let [made] = &group.dirs[..] else {
            panic!("{group:?}")
        };
        assert!(made.join("memory.max").exists() && made.join("pids.max").exists());
        std::fs::remove_dir_all(made).unwrap();
        std::mem::forget(group);
    }

    #[test]
    fn a_limit_that_nothing_enforces_is_an_error_that_names_it() {
        let limits = Limits {
            memory: Some(1),
            ..Limits::default()
        };
        let error = Group::within(&limits, &[]).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn the_numbers_of_events_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let counter = Counter::open(file.path(), "oom_kill").unwrap();
        assert_eq!(counter.read(), None);
        for number in [2, 13] {
            std::fs::write(file.path(), format!("oom 3\noom_kill {number}\n")).unwrap();
            assert_eq!(counter.read(), Some(number));
        }
        assert!(Counter::open(Path::new("/does/not/exist"), "oom_kill").is_none());
    }
}
