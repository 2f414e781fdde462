//! The system calls that no crate offers, and those that must be made without allocating.
//!
//! Each is a thin line over `libc::syscall`; numbers and structures are those of the kernel's `uapi` headers.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::RawFd;

/// A raw result: the value, or the errno.
pub(crate) type Raw<T> = Result<T, i32>;

pub(crate) fn errno() -> i32 {
    // SAFETY: errno of this thread is always readable.
    unsafe { *libc::__errno_location() }
}

/// Turns the kernel's -1 into the errno.
pub(crate) fn check(result: libc::c_long) -> Raw<i32> {
    if result < 0 {
        Err(errno())
    } else {
        Ok(result as i32)
    }
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x01;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x02;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x04;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;

/// Opens `path` with `O_PATH`.
pub(crate) fn open_path(path: &CStr) -> Raw<RawFd> {
    // SAFETY: a NUL-terminated path and flags.
    check(unsafe {
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::O_PATH | libc::O_CLOEXEC,
            0,
        )
    })
}

/// Opens `path` below `dir` with `O_PATH`; no link is followed, nothing above `dir` is reached.
pub(crate) fn open_beneath(dir: RawFd, path: &CStr) -> Raw<RawFd> {
    open_resolved(dir, path, libc::O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
}

/// Opens `path` with `O_PATH`, following links as if `dir` were the root directory.
pub(crate) fn open_in_root(dir: RawFd, path: &CStr) -> Raw<RawFd> {
    open_resolved(dir, path, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

fn open_resolved(dir: RawFd, path: &CStr, flags: libc::c_int, resolve: u64) -> Raw<RawFd> {
    let how = OpenHow {
        flags: (libc::O_PATH | libc::O_CLOEXEC | flags) as u64,
        mode: 0,
        resolve,
    };
    // SAFETY: the structure lives through the call and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir,
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>(),
        )
    })
}

/// A detached clone of the mount at `fd`, without what is mounted below it.
///
/// Where a user namespace is given mounts that it must not take apart, they come along.
pub(crate) fn clone_mount(fd: RawFd) -> Raw<RawFd> {
    match clone_tree(fd, 0) {
        Err(libc::EINVAL) => clone_mounts(fd),
        other => other,
    }
}

/// A detached clone of the mount at `fd` with all that is mounted below it.
pub(crate) fn clone_mounts(fd: RawFd) -> Raw<RawFd> {
    clone_tree(fd, libc::AT_RECURSIVE as libc::c_uint)
}

fn clone_tree(fd: RawFd, more: libc::c_uint) -> Raw<RawFd> {
    open_tree(fd, c"", libc::AT_EMPTY_PATH as libc::c_uint | more)
}

/// [`clone_mount`] of what is at `path`. The path is trusted: links on the way are followed.
pub(crate) fn clone_path(path: &CStr) -> Raw<RawFd> {
    let here = libc::AT_SYMLINK_NOFOLLOW as libc::c_uint;
    match open_tree(libc::AT_FDCWD, path, here) {
        Err(libc::EINVAL) => open_tree(libc::AT_FDCWD, path, here | libc::AT_RECURSIVE as libc::c_uint),
        other => other,
    }
}

fn open_tree(dir: RawFd, path: &CStr, more: libc::c_uint) -> Raw<RawFd> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | more;
    // SAFETY: a NUL-terminated path and flags.
    check(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// Sets attributes of the mount `fd`, and of those below it; with `userns` it is id-mapped by that namespace as well.
pub(crate) fn set_mount(fd: RawFd, attributes: u64, userns: Option<RawFd>) -> Raw<()> {
    let attr = MountAttr {
        attr_set: attributes | userns.map_or(0, |_| MOUNT_ATTR_IDMAP),
        attr_clr: 0,
        propagation: 0,
        userns_fd: userns.map_or(0, |fd| fd as u64),
    };
    // SAFETY: the structure lives through the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Attaches the detached mount `fd` at `target`.
pub(crate) fn attach_mount(fd: RawFd, target: &CStr) -> Raw<()> {
    // SAFETY: NUL-terminated paths and flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            fd,
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    check(result).map(drop)
}

/// `mount(2)`.
pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> Raw<()> {
    // SAFETY: NUL-terminated strings.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount,
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr(),
        )
    };
    check(result).map(drop)
}

/// `umount2(2)` with `MNT_DETACH`.
pub(crate) fn unmount(target: &CStr) -> Raw<()> {
    // SAFETY: a NUL-terminated path.
    check(unsafe { libc::syscall(libc::SYS_umount2, target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Clones this process as `fork` does, with these namespace flags and no C library around it: the child may make
/// system calls and nothing else.
pub(crate) fn clone_process(flags: libc::c_int) -> Raw<libc::pid_t> {
    let flags = (flags | libc::SIGCHLD) as libc::c_ulong;
    // SAFETY: no stack and no thread pointers are passed: as fork(2).
    check(unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) })
}

/// Has a child, on the `stack` that ends there, run `work` with `argument`, in the memory of this process, which waits until
/// the child executes a program or ends: the tables of the memory need not be copied.
///
/// # Safety
/// `work` may do what the child of a `vfork` may, and needs no more of the stack than there is.
pub(crate) unsafe fn clone_to_execute(
    stack: *mut libc::c_void,
    work: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> Raw<libc::pid_t> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own; the caller vouches for the rest.
    check(libc::c_long::from(unsafe {
        libc::clone(work, stack, flags, argument)
    }))
}

/// Ends the process without running anything of the C library.
pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
    }
}

pub(crate) fn close(fd: RawFd) {
    // SAFETY: closing a descriptor of our own.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Writes all of `bytes`.
pub(crate) fn write(fd: RawFd, mut bytes: &[u8]) -> Raw<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer and its length.
        match check(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) }) {
            Ok(count) => bytes = bytes.get(count as usize..).unwrap_or_default(),
            Err(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
