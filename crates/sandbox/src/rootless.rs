//! Building without being the machine's root: in a user namespace of one's own.
//!
//! ```text
//! in the namespace   outside
//! 0 … 65,535         the caller's sub-ids: owners of trees, and the executor itself (0)
//! 65,536             the caller: its files, and what is handed out to it
//! ```
//! The process stays the same one: descriptors, signals, environment and working directory are untouched. In the
//! namespace it has all capabilities over both ranges, and a copy of the mount table.
//!
//! Root of a container that lacks `CAP_SYS_ADMIN` gets a namespace too, with the container's own ids.
//! Facts: user_namespaces(7), newuidmap(1), subuid(5).
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::ids::pipe;
use crate::sub_ids::{self, Range};
use crate::sys::{self, Raw, check};
use crate::{Error, Result, capabilities};

/// How many ids a tree has.
pub(crate) const IDS: u32 = 65_536;

/// The caller's uid and gid in the namespace.
const CALLER: u32 = IDS;

/// The inode number of the first user namespace (`PROC_USER_INIT_INO` of <linux/proc_ns.h>).
const FIRST: u64 = 0xEFFF_FFFD;

/// The bit of `CAP_SYS_ADMIN`.
const SYS_ADMIN: u64 = 1 << 21;

/// Set when this process has entered a namespace in which the caller is [`CALLER`].
static ENTERED: OnceLock<()> = OnceLock::new();

/// Whether this process is in the machine's first user namespace: elsewhere no mount can be id-mapped, and overlays keep
/// their marks in `user.*`.
pub fn is_in_first_namespace() -> bool {
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|there| there.ino() == FIRST)
}

/// Whether this process is in a namespace of the sub-ids of a caller that is not root.
pub fn is_for_caller() -> bool {
    ENTERED.get().is_some()
}

/// Gives a process that is not root, or not much of one, the means to make boxes. For one that can do so already nothing
/// is done.
///
/// To be called while there is one thread.
///
/// # Errors
/// [`Error::Rootless`]: the caller has too few sub-ids, a tool is missing, the machine forbids it. The process may then be
/// left in a namespace in which it can do no more than print.
pub fn enter() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    if root && capabilities::permitted().is_ok_and(|all| all & SYS_ADMIN != 0) {
        return Ok(());
    }
    let way = if root { Way::Container } else { Way::sub_ids()? };
    become_root(&way)?;
    if !root {
        let _ = ENTERED.set(());
    }
    // the same refusal later would say less
    sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_SLAVE, c"").map_err(|errno| forbidden(errno, true))
}

/// Does `work` as the caller towards file systems: what it makes belongs to the caller, and what the caller may write it
/// may. Beyond that it can read what the executor can. Where the caller is root nothing changes.
///
/// Only for work that is done by this thread alone.
pub fn as_caller<T>(work: impl FnOnce() -> T) -> T {
    if !is_for_caller() {
        return work();
    }
    become_towards_files(CALLER);
    let done = work();
    become_towards_files(0);
    done
}

/// Makes this thread `id` towards file systems, with all its capabilities.
pub(crate) fn become_towards_files(id: u32) {
    // SAFETY: ids of this thread alone; the effective capabilities, which the change takes, are raised again.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, id);
        libc::syscall(libc::SYS_setfsuid, id);
    }
    // one that cannot be raised is missed by what comes next, which says so
    let _ = capabilities::raise();
    if is_for_caller() {
        let _ = stay_open();
    }
}

/// Keeps the files of this process in `/proc` its own, which a change of ids ends: those of a child would belong to the
/// machine's root, and its ids could not be mapped.
fn stay_open() -> Raw<()> {
    // SAFETY: a prctl with integers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// The lines of a `uid_map` or `gid_map` by which a namespace in ours has the same ids of a tree. The kernel wants pieces
/// that lie in one of ours each.
pub(crate) fn same_ids(name: &str) -> std::io::Result<String> {
    let own = std::fs::read_to_string(Path::new("/proc/self").join(name))?;
    let (mut lines, mut total) = (String::new(), 0);
    for line in own.lines() {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        if let (Some(Ok(first)), Some(_), Some(Ok(count))) = (words.next(), words.next(), words.next())
            && first < IDS
        {
            let count = count.min(IDS - first);
            lines.push_str(&format!("{first} {first} {count}\n"));
            total += count;
        }
    }
    match total == IDS {
        true => Ok(lines),
        false => Err(std::io::Error::other(format!(
            "there are {total} of them here, and an image needs all"
        ))),
    }
}

/// How the ids are mapped.
enum Way {
    /// With the tools that may map what `/etc/subuid` gives away.
    SubIds { users: Vec<Range>, groups: Vec<Range> },
    /// The container's own, by ourselves.
    Container,
}

impl Way {
    fn sub_ids() -> Result<Self> {
        for tool in ["newuidmap", "newgidmap"] {
            if !is_installed(tool) {
                return Err(refusal(
                    format!("`{tool}` is not installed, without which only root can build"),
                    "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora), or build as root",
                ));
            }
        }
        let user = sub_ids::caller();
        let found = (
            sub_ids::of(&user, "/etc/subuid"),
            sub_ids::of(&user, "/etc/subgid"),
        );
        match (sub_ids::first(&found.0, IDS), sub_ids::first(&found.1, IDS)) {
            (Some(users), Some(groups)) => Ok(Self::SubIds { users, groups }),
            _ => {
                let (message, hint) = sub_ids::advice(&user, &found.0, &found.1, IDS);
                Err(refusal(message, &hint))
            }
        }
    }

    /// Maps the ids of the process `pid`, from outside of its namespace.
    fn map(&self, pid: u32) -> std::result::Result<(), String> {
        match self {
            Self::SubIds { users, groups } => {
                run("newuidmap", pid, users, rustix::process::getuid().as_raw())?;
                run("newgidmap", pid, groups, rustix::process::getgid().as_raw())
            }
            Self::Container => ["uid_map", "gid_map"].into_iter().try_for_each(|name| {
                same_ids(name)
                    .and_then(|lines| std::fs::write(format!("/proc/{pid}/{name}"), lines))
                    .map_err(|e| format!("cannot map the ids 0..{} of this container: {e}", IDS - 1))
            }),
        }
    }
}

/// Runs `newuidmap` or `newgidmap`: the ranges from 0 on, behind them the caller.
fn run(tool: &str, pid: u32, ranges: &[Range], caller: u32) -> std::result::Result<(), String> {
    let mut inside = 0;
    let mut args = vec![pid.to_string()];
    for range in ranges {
        args.extend([inside, range.start, range.count].map(|number| number.to_string()));
        inside += range.count;
    }
    args.extend([CALLER, caller, 1].map(|number| number.to_string()));
    let output = Command::new(tool).args(args).output();
    let output = output.map_err(|e| format!("cannot run `{tool}`: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
    }
}

/// Enters a new user namespace, whose ids a child that stays outside maps, and becomes its root.
fn become_root(way: &Way) -> Result<()> {
    let (mut ready_read, ready_write) = pipe()?;
    let (mut answer_read, mut answer_write) = pipe()?;
    let pid = std::process::id();
    // SAFETY: there is one thread, so the child may do what a process may.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(Error::setup(
            "starting a process",
            std::io::Error::last_os_error(),
        ));
    }
    if child == 0 {
        drop((ready_write, answer_read));
        let mut byte = [0u8; 1];
        // without the byte the parent is gone, or was refused
        if ready_read.read_exact(&mut byte).is_ok()
            && let Err(message) = way.map(pid)
        {
            let _ = answer_write.write_all(message.as_bytes());
        }
        sys::exit(0);
    }
    drop((ready_read, answer_write));
    // SAFETY: namespace flags.
    let made = check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS) });
    if made.is_ok() {
        let _ = (&ready_write).write_all(b"!");
    }
    drop(ready_write);
    let mut message = String::new();
    let _ = answer_read.read_to_string(&mut message);
    // SAFETY: waiting for our own child; a signal may interrupt.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } < 0 && sys::errno() == libc::EINTR {}
    made.map_err(|errno| forbidden(errno, false))?;
    if !message.is_empty() {
        return Err(refusal(
            format!("the ids of a user namespace cannot be mapped: {message}"),
            "`newuidmap` and `newgidmap` must be set-uid root or have their file capabilities, and not lie on a file system \
             that is mounted `nosuid`; or build as root",
        ));
    }
    take_ids().map_err(|errno| forbidden(errno, true))
}

fn take_ids() -> Raw<()> {
    // SAFETY: ids that the namespace maps. There is one thread.
    unsafe {
        check(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        check(libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
    }
    stay_open()
}

/// Why a namespace cannot be had or, `made`, is of no use.
fn forbidden(errno: i32, made: bool) -> Error {
    let switch = |path: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let cause = std::io::Error::from_raw_os_error(errno);
    let say = |what: &str, hint: &str| {
        refusal(
            format!("only the machine's root can build here, as {what}: {cause}"),
            hint,
        )
    };
    if switch("kernel/unprivileged_userns_clone") == Some(0) {
        return say(
            "the kernel makes no user namespaces for it (kernel.unprivileged_userns_clone is 0)",
            "as root: `sysctl kernel.unprivileged_userns_clone=1`, or build as root",
        );
    }
    if switch("user/max_user_namespaces") == Some(0) {
        return say(
            "the kernel makes no user namespaces (user.max_user_namespaces is 0)",
            "as root: `sysctl user.max_user_namespaces=10000`; without user namespaces not even root can build",
        );
    }
    if switch("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return say(
            "AppArmor takes all rights in its user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)",
            "as root: load an AppArmor profile for osbuild with the line `userns,` (docs/security.md has one), or \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; or build as root",
        );
    }
    match made {
        true => say(
            "its user namespace is given no rights",
            "a security module of this machine forbids it; or build as root",
        ),
        false => say(
            "no user namespace can be made",
            "in a container, its system call filter may forbid it (`--security-opt seccomp=unconfined`, or \
             `--cap-add SYS_ADMIN`); or build as root",
        ),
    }
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

fn refusal(message: String, hint: &str) -> Error {
    Error::Rootless {
        message,
        hint: hint.to_owned(),
    }
}

/// The name of the user database for an id.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    // SAFETY: the entry is the C library's until the next such call, and there is one thread.
    unsafe {
        let entry = libc::getpwuid(uid);
        let name = (!entry.is_null()).then(|| CStr::from_ptr((*entry).pw_name))?;
        Some(name.to_string_lossy().into_owned())
    }
}
