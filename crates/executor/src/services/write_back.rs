//! Writes out what a stage puts into the file systems of its devices while it is still at work. Otherwise all of it would be
//! waited for when they are unmounted: what copies a tree needs one processor and no disk, and what writes it the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a file system is left alone.
const PAUSE: Duration = Duration::from_millis(400);

/// A thread that writes out file systems until this value goes.
#[derive(Debug)]
pub(crate) struct WriteBack {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteBack {
    /// Of what is mounted at these directories, the file systems that lie on `devices` (their numbers) and nowhere else.
    /// Nothing can fail: who unmounts them writes out the rest.
    pub(crate) fn start(mounted: &[PathBuf], devices: &BTreeSet<u64>) -> Option<Self> {
        let mut known = BTreeSet::new();
        let mut open = |dir: &PathBuf| {
            let file = File::open(dir).ok()?;
            let device = file.metadata().ok()?.dev();
            (devices.contains(&device) && is_writable(dir) && known.insert(device)).then_some(file)
        };
        let roots: Vec<File> = mounted.iter().filter_map(&mut open).collect();
        if roots.is_empty() {
            return None;
        }
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                for root in &roots {
                    let _ = rustix::fs::syncfs(root);
                }
            }
        };
        let thread = std::thread::Builder::new().name("write back".into()).spawn(work);
        Some(Self {
            stop: Some(stop),
            thread: Some(thread.ok()?),
        })
    }
}

impl Drop for WriteBack {
    /// An open directory would keep its file system from being unmounted.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_writable(dir: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    statvfs(dir).is_ok_and(|there| !there.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_of_the_stages_devices_are_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let device = path.metadata().unwrap().dev();
        let of = |devices: &[u64]| {
            WriteBack::start(&[path.clone(), path.clone()], &devices.iter().copied().collect())
        };
        assert!(of(&[]).is_none());
        assert!(of(&[device + 1]).is_none());
        drop(of(&[device]).unwrap());
    }
}
