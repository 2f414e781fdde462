//! What a command left behind: mounts, loop devices, processes that have to do with a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use crate::run::pid_ends_within;

/// How long a process that was killed may take to be gone.
const GRACE: Duration = Duration::from_secs(5);

/// Lists what still has to do with `dir`, one line each; empty when there is nothing.
///
/// That are mounts below it or made from what lies in it, loop devices on its files, and processes other than this one that have
/// a file below it open, as their directory, mounted or on their command line. Processes get a moment to be gone.
pub fn left_behind(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mut left: Vec<String> = mounts("self")
        .lines()
        .filter(|line| line.contains(&*dir))
        .map(|line| format!("mount: {line}"))
        .collect();
    left.extend(loop_devices(&dir));
    for (pid, what) in processes(&dir) {
        if !Pid::from_raw(pid).is_none_or(|pid| pid_ends_within(pid, GRACE)) {
            left.push(format!("process {pid}: {what}"));
        }
    }
    left
}

fn mounts(process: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default()
}

fn loop_devices(dir: &str) -> Vec<String> {
    let backing = |device: PathBuf| {
        let file = fs::read_to_string(device.join("loop/backing_file")).ok()?;
        let name = device.file_name()?.to_string_lossy().into_owned();
        file.contains(dir)
            .then(|| format!("loop device: {name} on {}", file.trim_end()))
    };
    entries(Path::new("/sys/block"))
        .into_iter()
        .filter_map(backing)
        .collect()
}

fn processes(dir: &str) -> Vec<(i32, String)> {
    let own = std::process::id().to_string();
    let mut all = Vec::new();
    for process in entries(Path::new("/proc")) {
        let name = process.file_name().unwrap_or_default().to_string_lossy();
        let Ok(pid) = name.parse::<i32>() else { continue };
        if name == own {
            continue;
        }
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let points_there =
            |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.to_string_lossy().contains(dir));
        let holds = command.contains(dir)
            || ["cwd", "root", "exe"]
                .iter()
                .any(|link| points_there(process.join(link)))
            || entries(&process.join("fd")).into_iter().any(points_there)
            || mounts(&name).contains(dir);
        if holds {
            all.push((pid, command));
        }
    }
    all
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(dir) else {
        return Vec::new();
    };
    list.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_by_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left_behind(dir.path()), Vec::<String>::new());
        let mut child = Command::new("sleep")
            .arg("600")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let found = processes(&dir.path().to_string_lossy());
        child.kill().unwrap();
        // killed, but not yet collected: it counts as gone
        assert_eq!(left_behind(dir.path()), Vec::<String>::new());
        child.wait().unwrap();
        assert_eq!(found, [(child.id() as i32, "sleep 600 ".to_owned())]);
    }
}
