//! The first process of a box: carries out the steps, starts the module, reaps, reports.
//!
//! It was cloned from a process with threads. Until the module is executed it makes system calls on memory that was
//! prepared before the clone, and nothing else: no allocation, no lock, no panic.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::RawFd;

use crate::apply::{apply, become_root, make_do};
use crate::guard::may_fail;
use crate::ids::Ids;
use crate::steps::Step;
use crate::sys::{self, Raw, check};

/// All that the child needs, prepared by the parent.
pub(crate) struct Prepared {
    pub(crate) steps: Vec<Step>,
    /// [`Ids::inside`] while they are carried out.
    pub(crate) inside: usize,
    /// The parts of the boundary that may be missing.
    pub(crate) optional: u8,
    pub(crate) program: CString,
    pub(crate) argv: Vec<*const libc::c_char>,
    pub(crate) envp: Vec<*const libc::c_char>,
    pub(crate) ids: Ids,
    pub(crate) stdin: RawFd,
    pub(crate) output: RawFd,
    /// Where [`Report`]s go.
    pub(crate) report: RawFd,
    /// What takes the box into its control groups once `0` is written there.
    pub(crate) groups: Vec<RawFd>,
    /// Has one byte once the parent knows of the child; closed without one when the parent is gone.
    pub(crate) start: RawFd,
    /// The end of the memory that the module's process has for a stack until it executes.
    pub(crate) stack: *mut libc::c_void,
    /// Whether the caller's descriptors stay open: only where a test lifted that.
    pub(crate) inherits: bool,
}

/// What the child says: which kind, an index, a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Step number, errno.
    Failed(i32, i32),
    /// The same for one that may fail.
    Missed(i32, i32),
    /// The module could not be executed: errno.
    NotExecuted(i32),
    /// The raw wait status of the module.
    Ended(i32),
}

impl Report {
    pub(crate) const SIZE: usize = 12;

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let (kind, index, value) = match self {
            Self::Failed(step, errno) => (1, step, errno),
            Self::Missed(step, errno) => (4, step, errno),
            Self::NotExecuted(errno) => (2, 0, errno),
            Self::Ended(status) => (3, 0, status),
        };
        let mut bytes = [0; Self::SIZE];
        for (chunk, number) in bytes.chunks_exact_mut(4).zip([kind, index, value]) {
            chunk.copy_from_slice(&i32::to_ne_bytes(number));
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(match number(0)? {
            1 => Self::Failed(number(4)?, number(8)?),
            2 => Self::NotExecuted(number(8)?),
            3 => Self::Ended(number(8)?),
            4 => Self::Missed(number(4)?, number(8)?),
            _ => return None,
        })
    }
}

/// Stands for a step that is none of the plan's: the life of the box is bound to ours.
pub(crate) const BINDING: i32 = -1;
/// The same: the box joins its control groups.
pub(crate) const JOINING: i32 = -2;

/// The most control groups that a box joins itself: there are no more controllers with limits.
const GROUPS: usize = 4;

/// The whole life of the first process.
pub(crate) fn first_process(prepared: &Prepared) -> ! {
    if !prepared.inherits {
        close_others(prepared);
    }
    if let Err((step, errno)) = set_up(prepared) {
        let _ = sys::write(prepared.report, &Report::Failed(step, errno).to_bytes());
        sys::exit(1);
    }
    let argument = std::ptr::from_ref(prepared).cast_mut().cast();
    // SAFETY: it makes system calls on what was prepared, and executes or ends.
    match unsafe { sys::clone_to_execute(prepared.stack, module, argument) } {
        Ok(pid) => reap(prepared, pid),
        Err(errno) => {
            let _ = sys::write(prepared.report, &Report::NotExecuted(errno).to_bytes());
            sys::exit(1);
        }
    }
}

/// Closes every descriptor but those of this box: another thread of the parent may have been making a box too, and
/// nobody would see the end of that one's output while we held it open.
fn close_others(prepared: &Prepared) {
    let mut keep = [prepared.stdin; 5 + GROUPS];
    keep[..4].copy_from_slice(&[
        prepared.ids.userns.unwrap_or(prepared.stdin),
        prepared.output,
        prepared.report,
        prepared.start,
    ]);
    for (slot, group) in keep[5..].iter_mut().zip(&prepared.groups) {
        *slot = *group;
    }
    keep.sort_unstable();
    let mut next = 0u32;
    for fd in keep.map(|fd| fd as u32) {
        if fd > next {
            // SAFETY: plain integers; what is closed is used by nobody in this process.
            unsafe { libc::syscall(libc::SYS_close_range, next, fd - 1, 0) };
        }
        next = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, next, u32::MAX, 0) };
}

fn set_up(prepared: &Prepared) -> Result<(), (i32, i32)> {
    die_with_parent().map_err(|e| (BINDING, e))?;
    let mut byte = 0u8;
    // SAFETY: one byte is read into one byte.
    let read = unsafe { libc::syscall(libc::SYS_read, prepared.start, &raw mut byte, 1) };
    if read != 1 {
        sys::exit(1);
    }
    for group in &prepared.groups {
        sys::write(*group, b"0").map_err(|e| (JOINING, e))?;
        sys::close(*group);
    }
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0) };
    // what it makes is the box's root's from the beginning
    become_root(prepared.ids.root_id).map_err(|e| (BINDING, e))?;
    die_with_parent().map_err(|e| (BINDING, e))?;
    let ids = Ids {
        is_root: true,
        inside: prepared.inside,
        ..prepared.ids
    };
    for (index, step) in prepared.steps.iter().enumerate() {
        match apply(step, ids) {
            Err(errno) if may_fail(step, prepared.optional) => {
                let missed = Report::Missed(index as i32, errno).to_bytes();
                sys::write(prepared.report, &missed)
                    .and_then(|()| make_do(step, ids))
                    .map_err(|errno| (index as i32, errno))?;
            }
            other => other.map_err(|errno| (index as i32, errno))?,
        }
    }
    // changing ids has cleared it
    die_with_parent().map_err(|e| (BINDING, e))?;
    if is_orphan(prepared.report) {
        sys::exit(1);
    }
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0o022) };
    Ok(())
}

fn die_with_parent() -> Raw<()> {
    // SAFETY: prctl with integers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(drop)
}

/// Whether nobody is left to read the report: the parent has died while its death could not be told.
fn is_orphan(report: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd: report,
        events: 0,
        revents: 0,
    };
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let none = std::ptr::null::<libc::sigset_t>();
    // SAFETY: both structures live through the call; no mask of signals.
    let ready = unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw const at_once, none, 0) };
    ready > 0 && poll.revents & libc::POLLERR != 0
}

extern "C" fn module(prepared: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the first process passes what it was itself given, and waits.
    let prepared: &Prepared = unsafe { &*prepared.cast_const().cast() };
    let errno = execute(prepared).err().unwrap_or(0);
    let _ = sys::write(prepared.report, &Report::NotExecuted(errno).to_bytes());
    sys::exit(127);
}

fn execute(prepared: &Prepared) -> Raw<()> {
    // SAFETY: descriptors of our own, integers, and arrays of NUL-terminated strings that end in NULL.
    unsafe {
        check(libc::syscall(libc::SYS_setsid))?;
        for (from, to) in [(prepared.stdin, 0), (prepared.output, 1), (prepared.output, 2)] {
            check(libc::syscall(libc::SYS_dup3, from, to, 0))?;
        }
        if !prepared.inherits {
            check(libc::syscall(
                libc::SYS_close_range,
                3u32,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            ))?;
        }
        // the signals a caller of ours ignores or blocks are no business of the module's
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        check(libc::syscall(
            libc::SYS_execve,
            prepared.program.as_ptr(),
            prepared.argv.as_ptr(),
            prepared.envp.as_ptr(),
        ))?;
    }
    Ok(())
}

fn reap(prepared: &Prepared, module: libc::pid_t) -> ! {
    loop {
        let mut status = 0;
        // SAFETY: the status lives through the call.
        let pid = unsafe { libc::syscall(libc::SYS_wait4, -1, &raw mut status, 0, 0) };
        if pid == libc::c_long::from(module) {
            let _ = sys::write(prepared.report, &Report::Ended(status).to_bytes());
            sys::exit(0);
        }
        // whoever started us ignores SIGCHLD: the kernel has reaped the module, and nobody knows how it ended
        if pid < 0 && sys::errno() == libc::ECHILD {
            sys::exit(1);
        }
    }
}
