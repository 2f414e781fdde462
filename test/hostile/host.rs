//! What an attempt must not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Switches of the kernel that attempts aim at.
const SWITCHES: [&str; 7] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/sysrq",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
];

/// The host as far as an attempt could change it, without what other tests do meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    mounts: Vec<String>,
    switches: BTreeMap<&'static str, String>,
    keys: Vec<String>,
    handlers: Vec<String>,
    outside: BTreeMap<String, Vec<u8>>,
}

impl Host {
    /// Looks at it. `outside` is a directory of files that no attempt may touch.
    pub(super) fn look(dir: &Path, outside: &Path) -> Self {
        Self {
            mounts: mounts(dir),
            switches: SWITCHES.map(|path| (path, text(path))).into(),
            keys: lines("/proc/keys", |line| line.contains("osbuild-hostile")),
            handlers: names(Path::new("/proc/sys/fs/binfmt_misc")),
            outside: files(outside),
        }
    }
}

/// The mount table, but for what lies in the temporary directories of others.
fn mounts(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    lines("/proc/self/mountinfo", |line| {
        line.contains(&*dir) || !(line.contains("/tmp/") || line.contains("osbuild-test-"))
    })
}

fn lines(path: &str, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let text = text(path);
    text.lines()
        .filter(|line| keep(line))
        .map(str::to_owned)
        .collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| {
        let content = fs::read(dir.join(&name)).unwrap_or_default();
        (name, content)
    };
    names(dir).into_iter().map(content).collect()
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
