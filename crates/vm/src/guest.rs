//! The guest's side: the first process of the machine makes what the host shares its root.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{chdir, chroot, getpid};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::message::{self, Kind};

/// By this name the executable is called as the first process.
pub const NAME: &str = "osbuild-guest";

/// The shared file system's name for the guest, and where it is mounted at first.
pub(crate) const TAG: &str = "host";
pub(crate) const SHARE: &str = "/share";
pub(crate) const MODULES: &str = "/modules";

/// Devices may be found a moment after their drivers were loaded.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// Makes the shared file system the root and opens the channel to the host, which is told that we are there.
///
/// # Errors
/// This is not the first process of such a machine, or the machine lacks something. Returned to the kernel, that is a
/// panic, which ends the machine.
pub fn enter() -> io::Result<File> {
    if !getpid().is_init() {
        return Err(io::Error::other(format!(
            "{NAME} is what a virtual machine starts with"
        )));
    }
    load_modules()?;
    within_patience(|| mount_at(TAG, SHARE, c"virtiofs"))?;
    mount_at("proc", &format!("{SHARE}/proc"), c"proc")?;
    mount_at("sysfs", &format!("{SHARE}/sys"), c"sysfs")?;
    mount_devices()?;
    change_root().map_err(|e| context("change the root directory", &e))?;
    let mut channel = within_patience(open_channel)?;
    message::send(&mut channel, Kind::Ready, b"")?;
    Ok(channel)
}

/// Ends the machine. Nothing is left to be written.
pub fn power_off() {
    let _ = reboot(RebootCommand::PowerOff);
}

fn load_modules() -> io::Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(MODULES)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    for path in files {
        let loaded = File::open(&path).and_then(|file| Ok(finit_module(file, c"", 0)?));
        match loaded {
            // another one may have asked for it
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(|e| context(&format!("load {}", path.display()), &e))?,
        }
    }
    Ok(())
}

fn mount_at(source: &str, target: &str, kind: &CStr) -> io::Result<()> {
    mount(source, target, kind, MountFlags::empty(), None::<&CStr>).map_err(|e| {
        context(
            &format!("mount {} on {target}", kind.to_string_lossy()),
            &e.into(),
        )
    })
}

/// The machine's devices, with what the host shares below its own `/dev`: perhaps a store in memory.
fn mount_devices() -> io::Result<()> {
    let target = format!("{SHARE}/dev");
    let shared: Vec<_> = fs::read_dir(&target)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    let aside = Path::new("/devices-of-host");
    fs::create_dir(aside)?;
    mount_bind(&target, aside)?;
    mount_at("devtmpfs", &target, c"devtmpfs")?;
    for name in shared {
        let place = Path::new(&target).join(&name);
        fs::create_dir_all(&place)?;
        mount_bind(aside.join(&name), place)?;
    }
    Ok(())
}

fn change_root() -> io::Result<()> {
    chdir(SHARE)?;
    mount_move(".", "/")?;
    chroot(".")?;
    Ok(chdir("/")?)
}

fn open_channel() -> io::Result<File> {
    let is_port = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("vport")
    };
    let port = fs::read_dir("/dev")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(is_port);
    let port = port.ok_or_else(|| io::Error::other("there is no channel to the host"))?;
    OpenOptions::new().read(true).write(true).open(port)
}

fn within_patience<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(_) if Instant::now() < end => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

fn context(what: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("cannot {what}: {error}"))
}
