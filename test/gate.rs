//! A place in a stage where it waits for the test: no sleep decides what comes first.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::TestEnv;

/// How long a stage may take to come to its gate.
const LIMIT: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

/// Two named pipes in the library directory, which a stage sees.
pub struct Gate {
    ready: File,
    go: File,
}

impl Gate {
    /// The part of a script that says that it is there, and waits.
    pub const SCRIPT: &str = "echo > /run/osbuild/lib/ready; read _ < /run/osbuild/lib/go";
    /// The part of a script that says that it is there.
    pub const TELL: &str = "echo > /run/osbuild/lib/ready";

    pub fn new(env: &TestEnv) -> Self {
        let lib = env.path("lib");
        std::fs::create_dir_all(&lib).unwrap();
        Self {
            ready: pipe(&lib.join("ready")),
            go: pipe(&lib.join("go")),
        }
    }

    /// Waits until a stage is at the gate.
    pub fn reached(&mut self) {
        let mut fds = [PollFd::new(&self.ready, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&LIMIT)).unwrap();
        assert_eq!(ready, 1, "no stage comes to the gate");
        self.ready.read_exact(&mut [0]).unwrap();
    }

    /// Lets one stage go on, now or when it comes.
    pub fn open(&mut self) {
        self.go.write_all(b"\n").unwrap();
    }
}

fn pipe(path: &Path) -> File {
    mknodat(CWD, path, FileType::Fifo, Mode::empty(), 0).unwrap();
    // root of the stage is nobody outside
    std::fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    // both ends in one hand: opening does not wait, and there is never an end of file
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(nonblock());
    open.open(path).unwrap()
}

fn nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits() as i32
}
