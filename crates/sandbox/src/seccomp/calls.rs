//! The list itself, for the machine's own calls and for those of 32-bit programs.
//!
//! `EPERM` is what a missing capability would give; `ENOSYS` where programs ask whether the kernel has the call and
//! have another way without it. 0 makes a call that does nothing succeed.

use libc::{ENOSYS, EPERM};

/// A call and when it is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) refusal: Refusal,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    /// With this errno.
    Always(i32),
    /// Where an argument has one of these bits.
    AnyBit { argument: u32, bits: u32 },
    /// Where an argument is this.
    Equal { argument: u32, value: u32 },
}

/// The calls of an architecture.
#[derive(Debug)]
pub(super) struct Table {
    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    pub(super) arch: u32,
    pub(super) has_x32: bool,
    pub(super) calls: &'static [Call],
    /// Those that make a socket.
    pub(super) sockets: &'static [Call],
}

const fn deny(number: libc::c_long, errno: i32) -> Call {
    Call {
        number: number as u32,
        refusal: Refusal::Always(errno),
    }
}

/// Flags of clone(2) and unshare(2): a new user namespace gives all capabilities in it, and with them the kernel's
/// least trodden paths.
const fn no_user_namespace(number: libc::c_long, argument: u32) -> Call {
    Call {
        number: number as u32,
        refusal: Refusal::AnyBit {
            argument,
            bits: libc::CLONE_NEWUSER as u32,
        },
    }
}

const fn not(number: libc::c_long, argument: u32, value: u32) -> Call {
    Call {
        number: number as u32,
        refusal: Refusal::Equal { argument, value },
    }
}

/// It does nothing, and says that it did. What a box writes is made durable once, when its tree enters the store; a crash
/// before that leaves nothing to lose. Package managers sync every file, which takes longer than all else they do.
const fn skip(number: libc::c_long) -> Call {
    deny(number, 0)
}

/// asm-generic/ioctls.h: input pretended on a terminal, and the console's own menu.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
/// The family that speaks to the hypervisor and its other guests: no network namespace divides it.
const AF_VSOCK: u32 = 40;
/// The protocol by which the kernel tells of the host's devices, to every network namespace of the first user namespace. No other
/// family has a use for the number.
const NETLINK_KOBJECT_UEVENT: u32 = 15;

/// s390 has the flags of clone(2) second.
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
const ARCH: u32 = 0xc000_0015;
#[cfg(target_arch = "s390x")]
const ARCH: u32 = 0x8000_0016;

pub(super) static NATIVE: Table = Table {
    arch: ARCH,
    has_x32: cfg!(target_arch = "x86_64"),
    calls: &[
        // the kernel itself
        deny(libc::SYS_init_module, EPERM),
        deny(libc::SYS_finit_module, EPERM),
        deny(libc::SYS_delete_module, EPERM),
        deny(libc::SYS_kexec_load, EPERM),
        #[cfg(not(target_arch = "powerpc64"))]
        deny(libc::SYS_kexec_file_load, EPERM),
        deny(libc::SYS_reboot, EPERM),
        deny(libc::SYS_syslog, EPERM),
        deny(libc::SYS_acct, EPERM),
        deny(libc::SYS_vhangup, EPERM),
        deny(libc::SYS_lookup_dcookie, EPERM),
        #[cfg(target_arch = "x86_64")]
        deny(libc::SYS_iopl, EPERM),
        #[cfg(target_arch = "x86_64")]
        deny(libc::SYS_ioperm, EPERM),
        // the machine's clock
        deny(libc::SYS_settimeofday, EPERM),
        deny(libc::SYS_clock_settime, EPERM),
        deny(libc::SYS_clock_adjtime, EPERM),
        deny(libc::SYS_adjtimex, EPERM),
        // its memory and disks
        deny(libc::SYS_swapon, EPERM),
        deny(libc::SYS_swapoff, EPERM),
        deny(libc::SYS_quotactl, EPERM),
        deny(libc::SYS_quotactl_fd, EPERM),
        deny(libc::SYS_open_by_handle_at, EPERM),
        deny(libc::SYS_migrate_pages, EPERM),
        deny(libc::SYS_move_pages, EPERM),
        // keys belong to users, and no namespace divides them
        deny(libc::SYS_add_key, ENOSYS),
        deny(libc::SYS_request_key, ENOSYS),
        deny(libc::SYS_keyctl, ENOSYS),
        // wide doors into the kernel that no build needs
        deny(libc::SYS_bpf, EPERM),
        deny(libc::SYS_perf_event_open, EPERM),
        deny(libc::SYS_userfaultfd, ENOSYS),
        deny(libc::SYS_io_uring_setup, ENOSYS),
        deny(libc::SYS_io_uring_enter, ENOSYS),
        deny(libc::SYS_io_uring_register, ENOSYS),
        deny(libc::SYS_fanotify_init, EPERM),
        deny(libc::SYS_kcmp, EPERM),
        no_user_namespace(libc::SYS_clone, CLONE_FLAGS),
        no_user_namespace(libc::SYS_unshare, 0),
        // its flags are in memory, where no filter sees them; without it there is clone
        deny(libc::SYS_clone3, ENOSYS),
        not(libc::SYS_ioctl, 1, TIOCSTI),
        not(libc::SYS_ioctl, 1, TIOCLINUX),
        not(libc::SYS_socket, 0, AF_VSOCK),
        not(libc::SYS_socket, 2, NETLINK_KOBJECT_UEVENT),
        // its arguments are in memory; C libraries use the calls of their own that it stands for
        #[cfg(any(target_arch = "powerpc64", target_arch = "s390x"))]
        deny(libc::SYS_socketcall, ENOSYS),
        skip(libc::SYS_fsync),
        skip(libc::SYS_fdatasync),
        skip(libc::SYS_sync),
        skip(libc::SYS_syncfs),
        #[cfg(not(target_arch = "powerpc64"))]
        skip(libc::SYS_sync_file_range),
        #[cfg(target_arch = "powerpc64")]
        skip(libc::SYS_sync_file_range2),
    ],
    sockets: &[deny(libc::SYS_socket, EPERM), deny(libc::SYS_socketpair, EPERM)],
};

#[cfg(not(target_arch = "x86_64"))]
pub(super) static COMPAT: Option<Table> = None;

/// i386: a tree of 32-bit packages runs its scripts on a 64-bit machine. Numbers: arch/x86/entry/syscalls/syscall_32.tbl.
#[cfg(target_arch = "x86_64")]
pub(super) static COMPAT: Option<Table> = Some(Table {
    arch: 0x4000_0003,
    has_x32: false,
    calls: &[
        deny(127, EPERM),  // create_module
        deny(128, EPERM),  // init_module
        deny(129, EPERM),  // delete_module
        deny(350, EPERM),  // finit_module
        deny(283, EPERM),  // kexec_load
        deny(88, EPERM),   // reboot
        deny(103, EPERM),  // syslog
        deny(51, EPERM),   // acct
        deny(111, EPERM),  // vhangup
        deny(253, EPERM),  // lookup_dcookie
        deny(110, EPERM),  // iopl
        deny(101, EPERM),  // ioperm
        deny(113, EPERM),  // vm86old
        deny(166, EPERM),  // vm86
        deny(25, EPERM),   // stime
        deny(79, EPERM),   // settimeofday
        deny(264, EPERM),  // clock_settime
        deny(404, EPERM),  // clock_settime64
        deny(343, EPERM),  // clock_adjtime
        deny(405, EPERM),  // clock_adjtime64
        deny(124, EPERM),  // adjtimex
        deny(87, EPERM),   // swapon
        deny(115, EPERM),  // swapoff
        deny(131, EPERM),  // quotactl
        deny(443, EPERM),  // quotactl_fd
        deny(342, EPERM),  // open_by_handle_at
        deny(294, EPERM),  // migrate_pages
        deny(317, EPERM),  // move_pages
        deny(286, ENOSYS), // add_key
        deny(287, ENOSYS), // request_key
        deny(288, ENOSYS), // keyctl
        deny(357, EPERM),  // bpf
        deny(336, EPERM),  // perf_event_open
        deny(374, ENOSYS), // userfaultfd
        deny(425, ENOSYS), // io_uring_setup
        deny(426, ENOSYS), // io_uring_enter
        deny(427, ENOSYS), // io_uring_register
        deny(338, EPERM),  // fanotify_init
        deny(349, EPERM),  // kcmp
        no_user_namespace(120, 0),
        no_user_namespace(310, 0),
        deny(435, ENOSYS), // clone3
        not(54, 1, TIOCSTI),
        not(54, 1, TIOCLINUX),
        not(359, 0, AF_VSOCK),
        not(359, 2, NETLINK_KOBJECT_UEVENT),
        // its arguments are in memory; C libraries use the calls of their own that it stands for
        deny(102, ENOSYS), // socketcall
        skip(118),         // fsync
        skip(148),         // fdatasync
        skip(36),          // sync
        skip(344),         // syncfs
        skip(314),         // sync_file_range
    ],
    sockets: &[
        deny(359, EPERM), // socket
        deny(360, EPERM), // socketpair
    ],
});
