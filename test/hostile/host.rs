//! What an attempt must not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tests::left_behind;
use tests::listing::{Listing, list};

/// Switches of the kernel are files below these.
const SWITCHES: [&str; 6] = [
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/sys/fs",
    "/proc/sys/user",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/uevent_helper",
];

/// Those that tell what is going on rather than what was set, or are slow to read.
const NOT_SET: [&str; 16] = [
    "random",
    "pty",
    "sched_domain",
    "ns_last_pid",
    "perf_event_max_sample_rate",
    "tainted",
    "stat_refresh",
    "dentry-state",
    "inode-nr",
    "inode-state",
    "file-nr",
    "aio-nr",
    "quota",
    "binfmt_misc",
    "epoll",
    "latencytop",
];

/// Where other tests, and the Python osbuild that some of them run, mount things.
const OTHERS: [&str; 3] = ["/tmp/", "osbuild-test-", "/run/osbuild/"];

/// The host as far as an attempt could change it, without what other tests do meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    mounts: Vec<String>,
    switches: BTreeMap<PathBuf, String>,
    keys: Vec<String>,
    handlers: Vec<String>,
    /// Mounts, loop devices and processes that have to do with the test's directory.
    left_behind: Vec<String>,
    outside: Listing,
}

impl Host {
    /// Looks at it. `outside` is a directory of files that no attempt may touch.
    pub(super) fn look(dir: &Path, outside: &Path) -> Self {
        let mut switches = BTreeMap::new();
        for path in SWITCHES {
            read_switches(Path::new(path), &mut switches);
        }
        Self {
            mounts: mounts(dir),
            switches,
            keys: lines("/proc/keys", |line| line.contains("osbuild-hostile")),
            handlers: names(Path::new("/proc/sys/fs/binfmt_misc")),
            left_behind: left_behind(dir),
            outside: list(outside),
        }
    }

    /// What differs, a line each; empty when nothing does.
    pub(super) fn difference(&self, after: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |what: &str, before: String, after: String| {
            if before != after {
                all.push(format!("{what}: {before} became {after}"));
            }
        };
        compare(
            "mounts",
            format!("{:#?}", self.mounts),
            format!("{:#?}", after.mounts),
        );
        for (path, before) in &self.switches {
            let now = after.switches.get(path).cloned().unwrap_or_default();
            compare(&path.display().to_string(), before.clone(), now);
        }
        compare("keys", format!("{:?}", self.keys), format!("{:?}", after.keys));
        let handlers = (format!("{:?}", self.handlers), format!("{:?}", after.handlers));
        compare("handlers of program formats", handlers.0, handlers.1);
        let left = (
            format!("{:?}", self.left_behind),
            format!("{:?}", after.left_behind),
        );
        compare("left behind", left.0, left.1);
        compare(
            "files outside",
            format!("{:?}", self.outside),
            format!("{:?}", after.outside),
        );
        all
    }
}

fn read_switches(path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    if NOT_SET.iter().any(|name| path.ends_with(name)) {
        return;
    }
    if path.is_dir() {
        for name in names(path) {
            read_switches(&path.join(name), all);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        all.insert(path.to_owned(), text);
    }
}

/// The mount table, but for what lies in the temporary directories of others.
fn mounts(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    lines("/proc/self/mountinfo", |line| {
        line.contains(&*dir) || !OTHERS.iter().any(|others| line.contains(others))
    })
}

fn lines(path: &str, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| keep(line))
        .map(str::to_owned)
        .collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("osbuild-hostile-target"))
        .collect();
    names.sort();
    names
}

/// The processes on whose command line `word` is.
pub(super) fn processes(word: &str) -> Vec<i32> {
    let numbers = names(Path::new("/proc"))
        .into_iter()
        .filter_map(|name| name.parse().ok());
    numbers
        .filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(word)
        })
        .collect()
}
