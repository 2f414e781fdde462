//! The steps of a set-up as system calls.
//!
//! They are made in a process that was cloned from one with threads: no allocation, no lock, no panic.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::RawFd;

use crate::capabilities;
use crate::ids::Ids;
use crate::plan::Idmap;
use crate::seccomp::{self, Instruction};
use crate::steps::Step;
use crate::sys::{self, Raw, check};

pub(crate) fn apply(step: &Step<'_>, ids: Ids) -> Raw<()> {
    let nosuid = libc::MS_NOSUID | libc::MS_NODEV;
    match step {
        Step::Detach => sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c""),
        Step::OwnGroups => {
            // SAFETY: a namespace flag.
            check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWCGROUP) }).map(drop)
        }
        Step::Tmpfs { target, data } => {
            let place = here(target, ids);
            sys::mount(c"tmpfs", place, c"tmpfs", libc::MS_NOSUID, data)?;
            if ids.inside == target.to_bytes_with_nul().len() {
                // the scaffold itself
                change_directory(target)?;
            }
            give(place, ids)
        }
        Step::Mkdir { path, mode } => mkdir(here(path, ids), *mode, ids),
        Step::Write { path, content } => write_file(here(path, ids), content, ids),
        Step::Symlink { text, path } => {
            let path = here(path, ids);
            // SAFETY: NUL-terminated paths.
            check(unsafe {
                libc::syscall(libc::SYS_symlinkat, text.as_ptr(), libc::AT_FDCWD, path.as_ptr())
            })?;
            give(path, ids)
        }
        Step::Clone {
            root,
            path,
            target,
            read_only,
            idmap,
            devices,
            optional,
            follow,
        } => {
            let opened = if *follow {
                open_followed(root, path)
            } else {
                open_source(root, path)
            };
            let source = match opened {
                Err(libc::ENOENT | libc::ELOOP | libc::ENOTDIR) if *optional => return Ok(()),
                other => other?,
            };
            let target = here(target, ids);
            let mut attributes = sys::MOUNT_ATTR_NOSUID;
            attributes |= if *devices { 0 } else { sys::MOUNT_ATTR_NODEV };
            attributes |= if *read_only { sys::MOUNT_ATTR_RDONLY } else { 0 };
            let result = make_target(source, target, ids)
                .and_then(|()| attach_clone(source, target, attributes, *idmap, ids.shift));
            sys::close(source);
            result
        }
        Step::Overlay {
            bench,
            data,
            target,
            read_only,
        } => overlay(here(bench, ids), data, target, *read_only, ids),
        Step::Proc { target } => {
            sys::mount(c"proc", here(target, ids), c"proc", nosuid | libc::MS_NOEXEC, c"")
        }
        Step::Sys { target } => sys::mount(
            c"sysfs",
            here(target, ids),
            c"sysfs",
            nosuid | libc::MS_NOEXEC | libc::MS_RDONLY,
            c"",
        ),
        Step::Protect { path } => match sys::clone_path(here(path, ids)) {
            Err(libc::ENOENT) => Ok(()),
            clone => {
                let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
                attach(clone?, here(path, ids), attributes)
            }
        },
        Step::Mask { path } => {
            // the kernel waits for all processors when a clone goes that was attached nowhere
            match sys::open_path(here(path, ids)) {
                Err(libc::ENOENT) => return Ok(()),
                there => sys::close(there?),
            }
            let null = sys::clone_path(c"/dev/null")?;
            attach(
                null,
                here(path, ids),
                sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID,
            )
        }
        Step::Unmount { path } => sys::unmount(here(path, ids)),
        Step::RemoveDirectory { path } => {
            // SAFETY: a NUL-terminated path.
            check(unsafe {
                libc::syscall(
                    libc::SYS_unlinkat,
                    libc::AT_FDCWD,
                    here(path, ids).as_ptr(),
                    libc::AT_REMOVEDIR,
                )
            })
            .map(drop)
        }
        Step::Hostname { name } => {
            let length = name.to_bytes().len();
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
        Step::Capabilities { mask } if ids.userns.is_some() => capabilities::keep(*mask),
        // a host that is a container itself may not have them all
        Step::Capabilities { mask } => capabilities::keep(mask & capabilities::permitted()?),
        Step::Limit { processes } => limit_processes(*processes),
        // without a program it would be no filter
        Step::Filter { sockets } => filter(seccomp::prepared(*sockets).ok_or(libc::EINVAL)?),
    }
}

/// What there is in the place of a step that failed and may: the `/proc` and `/sys` around the box, with what masks them.
pub(crate) fn make_do(step: &Step<'_>, ids: Ids) -> Raw<()> {
    let (from, target, read_only) = match step {
        Step::Proc { target } => (c"/proc", target, 0),
        Step::Sys { target } => (c"/sys", target, sys::MOUNT_ATTR_RDONLY),
        _ => return Ok(()),
    };
    let source = sys::open_path(from)?;
    let clone = sys::clone_mounts(source);
    sys::close(source);
    let clone = clone?;
    let attributes = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV | read_only;
    let result =
        sys::set_mount(clone, attributes, None).and_then(|()| sys::attach_mount(clone, here(target, ids)));
    sys::close(clone);
    result
}

/// The path by which the working directory reaches what is below the scaffold.
fn here(path: &CStr, ids: Ids) -> &CStr {
    let below = path.to_bytes_with_nul().get(ids.inside..).unwrap_or_default();
    // of the scaffold itself nothing is left
    CStr::from_bytes_with_nul(below).unwrap_or(path)
}

fn change_directory(path: &CStr) -> Raw<()> {
    // SAFETY: a NUL-terminated path.
    check(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) }).map(drop)
}

/// Opens `path` below `root`, as one does whose root directory that is.
fn open_followed(root: &CStr, path: &CStr) -> Raw<RawFd> {
    let base = sys::open_path(root)?;
    let source = sys::open_in_root(base, path);
    sys::close(base);
    source
}

pub(crate) fn open_source(root: &CStr, path: &CStr) -> Raw<RawFd> {
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

/// Makes what `source` is mounted on, unless it is there.
pub(crate) fn make_target(source: RawFd, target: &CStr, ids: Ids) -> Raw<()> {
    if file_type(source)? == libc::S_IFDIR {
        return mkdir(target, 0o755, ids);
    }
    let mode = libc::S_IFREG | 0o644;
    // SAFETY: a NUL-terminated path and integers.
    let made = check(unsafe { libc::syscall(libc::SYS_mknodat, libc::AT_FDCWD, target.as_ptr(), mode, 0) });
    match made {
        Err(libc::EEXIST) => Ok(()),
        other => other.and_then(|_| give(target, ids)),
    }
}

/// Attaches the detached mount `clone` with these attributes, and lets go of it.
fn attach(clone: RawFd, target: &CStr, attributes: u64) -> Raw<()> {
    let result = sys::set_mount(clone, attributes, None).and_then(|()| sys::attach_mount(clone, target));
    sys::close(clone);
    result
}

fn attach_clone(
    source: RawFd,
    target: &CStr,
    attributes: u64,
    idmap: Idmap,
    shift: Option<RawFd>,
) -> Raw<()> {
    let clone = sys::clone_mount(source)?;
    let set = match idmap {
        Idmap::None => sys::set_mount(clone, attributes, None),
        Idmap::Required => sys::set_mount(clone, attributes, shift),
        Idmap::Wanted => match sys::set_mount(clone, attributes, shift) {
            // the file system cannot, or the mount is mapped already
            Err(libc::EINVAL | libc::EPERM) => sys::set_mount(clone, attributes, None),
            other => other,
        },
    };
    let result = set.and_then(|()| sys::attach_mount(clone, target));
    sys::close(clone);
    result
}

fn overlay(bench: &CStr, data: &CStr, target: &CStr, read_only: bool, ids: Ids) -> Raw<()> {
    change_directory(bench)?;
    // the overlay keeps the ids of whoever mounts it: on id-mapped layers only a mapped id can own anything
    let before = become_root(ids.root_id)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | if read_only { libc::MS_RDONLY } else { 0 };
    let result = sys::mount(c"overlay", target, c"overlay", flags, data);
    become_root(before)?;
    // a bench lies in the workbench, and that in the scaffold
    change_directory(if ids.inside > 0 { c"../.." } else { c"/" })?;
    result
}

/// Becomes the user and group `id` towards file systems, with all capabilities; who the thread was before.
pub(crate) fn become_root(id: u32) -> Raw<u32> {
    // SAFETY: ids; the effective capabilities are raised again below.
    let before = unsafe { libc::syscall(libc::SYS_setfsuid, id) } as u32;
    if before != id {
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_setfsgid, id) };
        capabilities::raise()?;
    }
    Ok(before)
}

fn mkdir(path: &CStr, mode: u32, ids: Ids) -> Raw<()> {
    // SAFETY: a NUL-terminated path.
    match check(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode) }) {
        Err(libc::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
        Ok(_) => give(path, ids),
    }
}

/// Gives what was just made to the box's root.
fn give(path: &CStr, ids: Ids) -> Raw<()> {
    if ids.is_root {
        return Ok(());
    }
    let (owner, flags) = (ids.root_id, libc::AT_SYMLINK_NOFOLLOW);
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

fn write_file(path: &CStr, content: &[u8], ids: Ids) -> Raw<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a NUL-terminated path.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) })?;
    let result = sys::write(fd, content);
    sys::close(fd);
    result.and_then(|()| give(path, ids))
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

/// For good: to raise it again takes a capability in the host's user namespace.
fn limit_processes(count: u64) -> Raw<()> {
    let mut now = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let none = std::ptr::null::<libc::rlimit64>();
    // SAFETY: the limit lives through the call; no new one is set.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NPROC, none, &raw mut now) })?;
    // more than what holds already only the machine's root may allow
    let count = count.min(now.rlim_max);
    let limit = libc::rlimit64 {
        rlim_cur: count,
        rlim_max: count,
    };
    let (nobody, none) = (0, std::ptr::null_mut::<libc::rlimit64>());
    // SAFETY: the limit lives through the call; no old one is asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            nobody,
            libc::RLIMIT_NPROC,
            &raw const limit,
            none,
        )
    })
    .map(drop)
}

/// `seccomp(2)`. The mitigation against speculative stores that comes with a filter guards a process against itself,
/// and costs a build a good part of its time: it is left out.
fn filter(program: &[Instruction]) -> Raw<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let program = Program {
        length: program.len() as u16,
        instructions: program.as_ptr(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the program and the structure that points to it live through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
    .map(drop)
}
