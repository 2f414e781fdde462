//! The first process of a box: carries out the steps, starts the module, reaps, reports.
//!
//! It was cloned from a process with threads. Until the module is executed it makes system calls on memory that was
//! prepared before the clone, and nothing else: no allocation, no lock, no panic.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

use crate::plan::Idmap;
use crate::steps::Step;
use crate::sys::{self, Raw, check};

/// All that the child needs, prepared by the parent.
pub(crate) struct Prepared {
    pub(crate) steps: Vec<Step>,
    pub(crate) program: CString,
    pub(crate) argv: Vec<*const libc::c_char>,
    pub(crate) envp: Vec<*const libc::c_char>,
    pub(crate) ids: Ids,
    pub(crate) stdin: RawFd,
    pub(crate) output: RawFd,
    /// Where [`Report`]s go.
    pub(crate) report: RawFd,
    /// Has one byte once the parent knows of the child; closed without one when the parent is gone.
    pub(crate) start: RawFd,
}

/// Whose root the box's root is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    /// `None`: the host's.
    pub(crate) userns: Option<RawFd>,
    pub(crate) root_id: u32,
}

/// What the child says: which kind, an index, a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Step number, errno.
    Failed(i32, i32),
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
            _ => return None,
        })
    }
}

/// The whole life of the first process.
pub(crate) fn first_process(prepared: &Prepared) -> ! {
    close_others(prepared);
    if let Err((step, errno)) = set_up(prepared) {
        let _ = sys::write(prepared.report, &Report::Failed(step, errno).to_bytes());
        sys::exit(1);
    }
    match sys::clone_process(0) {
        Ok(0) => module(prepared),
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
    let mut keep = [
        prepared.ids.userns.unwrap_or(prepared.stdin),
        prepared.stdin,
        prepared.output,
        prepared.report,
        prepared.start,
    ];
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
    die_with_parent().map_err(|e| (-1, e))?;
    let mut byte = 0u8;
    // SAFETY: one byte is read into one byte.
    let read = unsafe { libc::syscall(libc::SYS_read, prepared.start, &raw mut byte, 1) };
    if read != 1 {
        sys::exit(1);
    }
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0) };
    for (index, step) in prepared.steps.iter().enumerate() {
        apply(step, prepared.ids).map_err(|errno| (index as i32, errno))?;
    }
    // changing ids has cleared it
    die_with_parent().map_err(|e| (-1, e))?;
    // SAFETY: sets the file mode mask.
    unsafe { libc::syscall(libc::SYS_umask, 0o022) };
    Ok(())
}

fn die_with_parent() -> Raw<()> {
    // SAFETY: prctl with integers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(drop)
}

pub(crate) fn apply(step: &Step, ids: Ids) -> Raw<()> {
    let nosuid = libc::MS_NOSUID | libc::MS_NODEV;
    match step {
        Step::Detach => sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c""),
        Step::Tmpfs { target, data } => {
            sys::mount(c"tmpfs", target, c"tmpfs", libc::MS_NOSUID, data)?;
            give(target, ids.root_id)
        }
        Step::Mkdir { path, mode } => mkdir(path, *mode, ids.root_id),
        Step::Write { path, content } => write_file(path, content, ids.root_id),
        Step::Symlink { text, path } => {
            // SAFETY: NUL-terminated paths.
            check(unsafe {
                libc::syscall(libc::SYS_symlinkat, text.as_ptr(), libc::AT_FDCWD, path.as_ptr())
            })?;
            give(path, ids.root_id)
        }
        Step::Clone {
            root,
            path,
            target,
            read_only,
            idmap,
            devices,
            optional,
        } => {
            let source = match open_source(root, path) {
                Err(libc::ENOENT | libc::ELOOP | libc::ENOTDIR) if *optional => return Ok(()),
                other => other?,
            };
            let mut attributes = sys::MOUNT_ATTR_NOSUID;
            attributes |= if *devices { 0 } else { sys::MOUNT_ATTR_NODEV };
            attributes |= if *read_only { sys::MOUNT_ATTR_RDONLY } else { 0 };
            let result = make_target(source, target, ids.root_id)
                .and_then(|()| attach_clone(source, target, attributes, *idmap, ids.userns));
            sys::close(source);
            result
        }
        Step::Overlay {
            bench,
            data,
            target,
            read_only,
        } => overlay(bench, data, target, *read_only, ids.root_id),
        Step::Proc { target } => sys::mount(c"proc", target, c"proc", nosuid | libc::MS_NOEXEC, c""),
        Step::Sys { target } => sys::mount(
            c"sysfs",
            target,
            c"sysfs",
            nosuid | libc::MS_NOEXEC | libc::MS_RDONLY,
            c"",
        ),
        Step::Protect { path } => match open_source(path, c"") {
            Err(libc::ENOENT) => Ok(()),
            other => {
                let source = other?;
                let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
                attach_clone(source, path, attributes, Idmap::None, ids.userns)
            }
        },
        Step::Mask { path } => match open_source(path, c"") {
            Err(libc::ENOENT) => Ok(()),
            other => {
                sys::close(other?);
                let null = open_source(c"/dev/null", c"")?;
                attach_clone(
                    null,
                    path,
                    sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID,
                    Idmap::None,
                    ids.userns,
                )
            }
        },
        Step::Unmount { path } => sys::unmount(path),
        Step::RemoveDirectory { path } => {
            // SAFETY: a NUL-terminated path.
            check(unsafe {
                libc::syscall(
                    libc::SYS_unlinkat,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    libc::AT_REMOVEDIR,
                )
            })
            .map(drop)
        }
        Step::Hostname { name } => {
            let length = name.as_bytes().len();
            // SAFETY: a buffer and its length.
            check(unsafe { libc::syscall(libc::SYS_sethostname, name.as_ptr(), length) }).map(drop)
        }
        Step::Loopback => loopback(),
        Step::Pivot { root } => pivot(root),
        Step::EnterUser => enter_user(ids.userns),
        Step::OwnMounts => {
            // SAFETY: a namespace flag.
            check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWNS) })?;
            // mounts made in the box must not reach the namespace it was cloned from
            sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")
        }
        Step::Capabilities { mask } if ids.userns.is_some() => drop_capabilities(*mask),
        // a host that is a container itself may not have them all
        Step::Capabilities { mask } => drop_capabilities(mask & permitted(&get_capabilities()?)),
    }
}

fn open_source(root: &CStr, path: &CStr) -> Raw<RawFd> {
    let base = sys::open_path(root)?;
    if path.to_bytes().is_empty() || path.to_bytes() == b"." {
        return Ok(base);
    }
    let source = sys::open_beneath(base, path);
    sys::close(base);
    // O_PATH | O_NOFOLLOW opens a link itself: a source that is one counts as absent
    let source = source?;
    if file_type(source)? == libc::S_IFLNK {
        sys::close(source);
        return Err(libc::ELOOP);
    }
    Ok(source)
}

fn file_type(fd: RawFd) -> Raw<libc::mode_t> {
    // SAFETY: an all-zero stat is a value of the type, filled by the call.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check(libc::c_long::from(unsafe { libc::fstat(fd, &raw mut stat) }))?;
    Ok(stat.st_mode & libc::S_IFMT)
}

fn make_target(source: RawFd, target: &CStr, owner: u32) -> Raw<()> {
    if let Ok(there) = sys::open_path(target) {
        sys::close(there);
        return Ok(());
    }
    if file_type(source)? == libc::S_IFDIR {
        mkdir(target, 0o755, owner)
    } else {
        write_file(target, b"", owner)
    }
}

fn attach_clone(
    source: RawFd,
    target: &CStr,
    attributes: u64,
    idmap: Idmap,
    userns: Option<RawFd>,
) -> Raw<()> {
    let clone = sys::clone_mount(source)?;
    let set = match idmap {
        Idmap::None => sys::set_mount(clone, attributes, None),
        Idmap::Required => sys::set_mount(clone, attributes, userns),
        Idmap::Wanted => match sys::set_mount(clone, attributes, userns) {
            // the file system cannot, or the mount is mapped already
            Err(libc::EINVAL | libc::EPERM) => sys::set_mount(clone, attributes, None),
            other => other,
        },
    };
    let result = set.and_then(|()| sys::attach_mount(clone, target));
    sys::close(clone);
    result
}

fn overlay(bench: &CStr, data: &CStr, target: &CStr, read_only: bool, root_id: u32) -> Raw<()> {
    // SAFETY: NUL-terminated paths and ids; the effective capabilities are raised again below.
    unsafe {
        check(libc::syscall(libc::SYS_chdir, bench.as_ptr()))?;
        // the overlay keeps the ids of whoever mounts it: on id-mapped layers only a mapped id can own anything
        libc::syscall(libc::SYS_setfsuid, root_id);
        libc::syscall(libc::SYS_setfsgid, root_id);
    }
    raise_capabilities()?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | if read_only { libc::MS_RDONLY } else { 0 };
    let result = sys::mount(c"overlay", target, c"overlay", flags, data);
    // SAFETY: as above.
    unsafe {
        libc::syscall(libc::SYS_setfsuid, 0);
        libc::syscall(libc::SYS_setfsgid, 0);
        check(libc::syscall(libc::SYS_chdir, c"/".as_ptr()))?;
    }
    raise_capabilities()?;
    result
}

fn mkdir(path: &CStr, mode: u32, owner: u32) -> Raw<()> {
    // SAFETY: a NUL-terminated path.
    match check(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode) }) {
        Err(libc::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
        Ok(_) => give(path, owner),
    }
}

fn give(path: &CStr, owner: u32) -> Raw<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: a NUL-terminated path and ids.
    check(unsafe {
        libc::syscall(
            libc::SYS_fchownat,
            libc::AT_FDCWD,
            path.as_ptr(),
            owner,
            owner,
            flags,
        )
    })
    .map(drop)
}

fn write_file(path: &CStr, content: &[u8], owner: u32) -> Raw<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a NUL-terminated path.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) })?;
    let result = sys::write(fd, content);
    sys::close(fd);
    result.and_then(|()| give(path, owner))
}

fn loopback() -> Raw<()> {
    // SAFETY: an all-zero request is a value of the type; name and flags are set below.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers, then a descriptor of our own and a structure that lives through the call.
    unsafe {
        let socket = check(libc::syscall(libc::SYS_socket, libc::AF_INET, kind, 0))?;
        let result = check(libc::syscall(
            libc::SYS_ioctl,
            socket,
            libc::SIOCSIFFLAGS,
            &raw const request,
        ));
        sys::close(socket);
        result.map(drop)
    }
}

fn pivot(root: &CStr) -> Raw<()> {
    // SAFETY: NUL-terminated paths. The old root comes to lie on the new one and is detached from there.
    unsafe {
        check(libc::syscall(libc::SYS_chdir, root.as_ptr()))?;
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        sys::unmount(c".")?;
        check(libc::syscall(libc::SYS_chdir, c"/".as_ptr())).map(drop)
    }
}

fn enter_user(userns: Option<RawFd>) -> Raw<()> {
    // SAFETY: no groups, a namespace descriptor, ids that the namespace maps. Raw calls: only this thread exists.
    unsafe {
        check(libc::syscall(
            libc::SYS_setgroups,
            0,
            std::ptr::null::<libc::gid_t>(),
        ))?;
        if let Some(userns) = userns {
            check(libc::syscall(libc::SYS_setns, userns, libc::CLONE_NEWUSER))?;
        }
        check(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        check(libc::syscall(libc::SYS_setresuid, 0, 0, 0)).map(drop)
    }
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`
const CAPABILITY_VERSION: u32 = 0x2008_0522;

fn get_capabilities() -> Raw<[CapData; 2]> {
    let header = CapHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut data = [CapData::default(); 2];
    // SAFETY: both structures live through the call; version 3 has two data words.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn permitted(data: &[CapData; 2]) -> u64 {
    u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32
}

fn set_capabilities(data: &[CapData; 2]) -> Raw<()> {
    let header = CapHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    // SAFETY: both structures live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Makes all permitted capabilities effective again, which a change of the fsuid has not left so.
fn raise_capabilities() -> Raw<()> {
    let mut data = get_capabilities()?;
    for word in &mut data {
        word.effective = word.permitted;
    }
    set_capabilities(&data)
}

fn drop_capabilities(mask: u64) -> Raw<()> {
    let prctl = |option: libc::c_int, argument: u64| {
        // SAFETY: prctl with integers.
        check(unsafe { libc::syscall(libc::SYS_prctl, option, argument, 0, 0, 0) })
    };
    for capability in 0..64u64 {
        if mask & 1 << capability == 0 {
            match prctl(libc::PR_CAPBSET_DROP, capability) {
                // beyond the last one this kernel knows
                Err(libc::EINVAL) => break,
                other => drop(other?),
            }
        }
    }
    let mut data = [CapData::default(); 2];
    for (index, word) in data.iter_mut().enumerate() {
        let bits = (mask >> (32 * index)) as u32;
        *word = CapData {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        };
    }
    set_capabilities(&data)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    // bubblewrap's hole: believe what the kernel says, not what was asked for
    let now = get_capabilities()?;
    let same = now
        .iter()
        .zip(&data)
        .all(|(a, b)| a.permitted == b.permitted && a.effective == b.effective);
    if same { Ok(()) } else { Err(libc::EPERM) }
}

fn module(prepared: &Prepared) -> ! {
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
        check(libc::syscall(
            libc::SYS_close_range,
            3u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        ))?;
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
