//! The first process of a box: carries out the steps, starts the module, reaps, reports.
//!
//! It was cloned from a process with threads. Until the module is executed it makes system calls on memory that was
//! prepared before the clone or that it maps itself, and nothing else: no allocation, no lock, no panic.
//!
//! It begins with the steps that boxes have in common, and then waits until it is told what this box is for.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};

use crate::apply::{apply, become_root, make_do};
use crate::guard::may_fail;
use crate::ids::Ids;
use crate::message::{Order, Program};
use crate::steps::Step;
use crate::sys::{self, Raw, check};

/// All that the child needs to begin, prepared by the parent.
#[derive(Clone, Copy)]
pub(crate) struct Prepared<'a> {
    /// What boxes have in common.
    pub(crate) steps: &'a [Step<'static>],
    /// [`Ids::inside`] while they are carried out.
    pub(crate) inside: usize,
    /// The parts of the boundary that may be missing.
    pub(crate) optional: u8,
    pub(crate) ids: Ids,
    /// Where [`Report`]s go.
    pub(crate) report: RawFd,
    /// Where an [`Order`] comes from; closed without one when the parent wants no box, or is gone.
    pub(crate) socket: RawFd,
    /// The end of the memory that the module's process has for a stack until it executes.
    pub(crate) stack: *mut libc::c_void,
    /// Whether the caller's descriptors stay open: only where a test lifted that.
    pub(crate) inherits: bool,
}

/// What the module is executed with.
struct Module {
    program: Program,
    stdin: RawFd,
    output: RawFd,
    report: RawFd,
    inherits: bool,
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
/// The same: the box learns what it is for.
pub(crate) const ORDERS: i32 = -3;

/// The whole life of the first process.
pub(crate) fn first_process(prepared: &Prepared<'_>) -> ! {
    if !prepared.inherits {
        let userns = prepared.ids.userns.unwrap_or(prepared.report);
        close_all_but([userns, prepared.report, prepared.socket]);
    }
    let module = match begin(prepared).and_then(|()| finish(prepared)) {
        Ok(module) => module,
        Err((step, errno)) => {
            let _ = sys::write(prepared.report, &Report::Failed(step, errno).to_bytes());
            sys::exit(1);
        }
    };
    let argument = std::ptr::from_ref(&module).cast_mut().cast();
    // SAFETY: it makes system calls on what was prepared, and executes or ends.
    match unsafe { sys::clone_to_execute(prepared.stack, execute_module, argument) } {
        Ok(pid) => reap(prepared.report, pid),
        Err(errno) => {
            let _ = sys::write(prepared.report, &Report::NotExecuted(errno).to_bytes());
            sys::exit(1);
        }
    }
}

/// Closes every descriptor but those of this box: another thread of the parent may have been making a box too, and
/// nobody would see the end of that one's output while we held it open.
pub(crate) fn close_all_but(mut keep: [RawFd; 3]) {
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

/// Carries out the steps that boxes have in common.
fn begin(prepared: &Prepared<'_>) -> Result<(), (i32, i32)> {
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0) };
    // what it makes is the box's root's from the beginning
    become_root(prepared.ids.root_id).map_err(|e| (BINDING, e))?;
    die_with_parent().map_err(|e| (BINDING, e))?;
    for (index, step) in prepared.steps.iter().enumerate() {
        carry_out(prepared, step, index)?;
    }
    Ok(())
}

/// Waits for the rest, and carries that out.
fn finish(prepared: &Prepared<'_>) -> Result<Module, (i32, i32)> {
    // SAFETY: it stays open for as long as it is borrowed.
    let socket = unsafe { BorrowedFd::borrow_raw(prepared.socket) };
    let Some(mut order) = Order::receive(socket).map_err(|e| (ORDERS, e))? else {
        sys::exit(1);
    };
    sys::close(prepared.socket);
    for group in order.groups.iter().flatten() {
        sys::write(*group, b"0").map_err(|e| (JOINING, e))?;
        sys::close(*group);
    }
    for index in 0..order.steps {
        let step = order.step().map_err(|e| (ORDERS, e))?;
        carry_out(prepared, &step, prepared.steps.len() + index)?;
    }
    // changing ids has cleared it
    die_with_parent().map_err(|e| (BINDING, e))?;
    if is_orphan(prepared.report) {
        sys::exit(1);
    }
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0o022) };
    Ok(Module {
        program: order.program().map_err(|e| (ORDERS, e))?,
        stdin: order.stdin,
        output: order.output,
        report: prepared.report,
        inherits: prepared.inherits,
    })
}

fn carry_out(prepared: &Prepared<'_>, step: &Step<'_>, index: usize) -> Result<(), (i32, i32)> {
    let ids = Ids {
        is_root: true,
        inside: prepared.inside,
        ..prepared.ids
    };
    match apply(step, ids) {
        Err(errno) if may_fail(step, prepared.optional) => {
            let missed = Report::Missed(index as i32, errno).to_bytes();
            sys::write(prepared.report, &missed).and_then(|()| make_do(step, ids))
        }
        other => other,
    }
    .map_err(|errno| (index as i32, errno))
}

pub(crate) fn die_with_parent() -> Raw<()> {
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

extern "C" fn execute_module(module: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the first process passes what it made, and waits.
    let module: &Module = unsafe { &*module.cast_const().cast() };
    let errno = execute(module).err().unwrap_or(0);
    let _ = sys::write(module.report, &Report::NotExecuted(errno).to_bytes());
    sys::exit(127);
}

fn execute(module: &Module) -> Raw<()> {
    // SAFETY: descriptors of our own, integers, and arrays of NUL-terminated strings that end in NULL.
    unsafe {
        check(libc::syscall(libc::SYS_setsid))?;
        for (from, to) in [(module.stdin, 0), (module.output, 1), (module.output, 2)] {
            check(libc::syscall(libc::SYS_dup3, from, to, 0))?;
        }
        if !module.inherits {
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
            module.program.path,
            module.program.argv,
            module.program.envp,
        ))?;
    }
    Ok(())
}

fn reap(report: RawFd, module: libc::pid_t) -> ! {
    loop {
        let mut status = 0;
        // SAFETY: the status lives through the call.
        let pid = unsafe { libc::syscall(libc::SYS_wait4, -1, &raw mut status, 0, 0) };
        if pid == libc::c_long::from(module) {
            let _ = sys::write(report, &Report::Ended(status).to_bytes());
            sys::exit(0);
        }
        // whoever started us ignores SIGCHLD: the kernel has reaped the module, and nobody knows how it ended
        if pid < 0 && sys::errno() == libc::ECHILD {
            sys::exit(1);
        }
    }
}
